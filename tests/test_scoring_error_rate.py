import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcasr.scoring import ErrorCounts, align_tokens, count_errors
from tests.oracles import edit_distance

sentences = st.lists(st.sampled_from("abc "), max_size=7)
few = settings(max_examples=60, deadline=None)


@few
@given(ref=sentences, hyp=sentences)
def test_counts_account_for_every_token(ref, hyp):
    counts = count_errors(ref, hyp)

    assert counts.hits + counts.substitutions + counts.deletions == len(ref)
    assert counts.hits + counts.substitutions + counts.insertions == len(hyp)
    assert counts.reference_length == len(ref)


@few
@given(ref=sentences, hyp=sentences)
def test_errors_are_the_fewest_edits(ref, hyp):
    assert count_errors(ref, hyp).errors == edit_distance(ref, hyp)


@few
@given(x=sentences, y=sentences, z=sentences)
def test_error_count_is_a_metric(x, y, z):
    def distance(a, b):
        return count_errors(a, b).errors

    assert (distance(x, y) == 0) == (x == y)
    assert distance(x, y) == distance(y, x)
    assert distance(x, z) <= distance(x, y) + distance(y, z)


@few
@given(ref=sentences, hyp=sentences)
def test_alignment_holds_both_sides_in_order(ref, hyp):
    pairs = align_tokens(ref, hyp)

    assert [said for said, _ in pairs if said is not None] == ref
    assert [recognised for _, recognised in pairs if recognised is not None] == hyp
    assert (None, None) not in pairs


def test_each_kind_of_error_is_told_apart():
    assert count_errors("abc", "axc") == ErrorCounts(2, 1, 0, 0)
    assert count_errors("abc", "ac") == ErrorCounts(2, 0, 1, 0)
    assert count_errors("ac", "abc") == ErrorCounts(2, 0, 0, 1)


def test_a_space_is_a_token_like_any_other():
    assert count_errors("a b", "ab") == ErrorCounts(hits=2, deletions=1)
    assert count_errors([" "], [""]) == ErrorCounts(substitutions=1)


def test_an_empty_reference_is_all_insertions_and_has_no_rate():
    counts = count_errors([], ["a", "b"])

    assert counts == ErrorCounts(insertions=2)
    assert counts.rate is None
    assert count_errors([], []) == ErrorCounts()


def test_an_empty_hypothesis_is_all_deletions():
    assert count_errors(["a", "b"], []) == ErrorCounts(deletions=2)


def test_a_rate_may_exceed_one():
    assert count_errors(["a"], ["x", "y", "z"]).rate == 3.0


def test_counts_add_and_rates_follow():
    total = ErrorCounts(hits=9, substitutions=1) + ErrorCounts(0, 0, 1, 3)

    assert total == ErrorCounts(9, 1, 1, 3)
    assert total.errors == 5
    assert total.rate == pytest.approx(5 / 11)


@pytest.mark.parametrize("package", ["scoring", "reporting", "decoding"])
def test_no_torch_is_loaded(package):
    code = f"import sys, ctcasr.{package}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
