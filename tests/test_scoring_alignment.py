import itertools
import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.scoring import Costs, ErrorCounts, align_tokens, count_errors
from tests.sctk import needs_sctk, sclite_alignments

CORPORA = Path(
    os.environ.get("CTCASR_CORPORA", Path(__file__).parent.parent.parent / "shared" / "data")
)

sentences = st.lists(st.sampled_from("abc "), max_size=7)


def cost_of(pairs):
    costs = {(True, True): 4, (True, False): 3, (False, True): 3}
    return sum(
        0 if said == heard else costs[said is not None, heard is not None] for said, heard in pairs
    )


def cheapest_by_enumeration(reference, hypothesis):
    """The definition: the least of hit or substitution, deletion, insertion, over all prefixes."""

    @cache
    def cost(i, j):
        if i == 0 or j == 0:
            return 3 * (i + j)
        differ = 0 if reference[i - 1] == hypothesis[j - 1] else 4
        return min(cost(i - 1, j - 1) + differ, cost(i - 1, j) + 3, cost(i, j - 1) + 3)

    return cost(len(reference), len(hypothesis))


@given(ref=sentences, hyp=sentences)
def test_nist_alignment_is_as_cheap_as_can_be(ref, hyp):
    assert cost_of(align_tokens(ref, hyp, costs=Costs.NIST)) == cheapest_by_enumeration(ref, hyp)


@given(ref=sentences, hyp=sentences)
def test_nist_alignment_holds_both_sides_in_order(ref, hyp):
    pairs = align_tokens(ref, hyp, costs=Costs.NIST)

    assert [said for said, _ in pairs if said is not None] == ref
    assert [heard for _, heard in pairs if heard is not None] == hyp


@given(ref=sentences, hyp=sentences)
def test_nist_costs_never_find_fewer_errors_than_levenshtein(ref, hyp):
    assert count_errors(ref, hyp, costs=Costs.NIST).errors >= count_errors(ref, hyp).errors


def test_nist_costs_prefer_a_hit_between_two_gaps_to_two_substitutions():
    assert count_errors("ab", "bc") == ErrorCounts(substitutions=2)
    assert count_errors("ab", "bc", costs=Costs.NIST) == ErrorCounts(1, 0, 1, 1)


def test_among_equal_costs_a_substitution_comes_before_two_gaps():
    assert count_errors("aab", "bcc", costs=Costs.NIST) == ErrorCounts(substitutions=3)


def test_among_equal_costs_what_is_added_or_missed_stands_first():
    assert align_tokens("a", "aa", costs=Costs.NIST) == [(None, "a"), ("a", "a")]
    assert align_tokens("aa", "a", costs=Costs.NIST) == [("a", None), ("a", "a")]


@pytest.mark.parametrize(("ref", "hyp"), [("", ""), ("", "ab"), ("ab", "")])
def test_nist_costs_take_empty_texts(ref, hyp):
    counts = count_errors(ref, hyp, costs=Costs.NIST)

    assert counts == ErrorCounts(deletions=len(ref), insertions=len(hyp))


def random_texts(*, seed, num_texts=2_000):
    """Pairs of texts in small alphabets, where many alignments cost the same."""
    draw = np.random.default_rng(seed)
    items = []
    for _ in range(num_texts):
        letters = list("abcdef"[: draw.integers(1, 7)])
        lengths = draw.integers(0, 15, size=2)
        items.append(tuple(draw.choice(letters, size=length).tolist() for length in lengths))
    return items


@needs_sctk
@pytest.mark.parametrize("seed", range(2))
def test_nist_alignment_is_sclites_ties_included(seed, tmp_path):
    items = random_texts(seed=seed)

    assert [align_tokens(*item, costs=Costs.NIST) for item in items] == sclite_alignments(
        items, tmp_path
    )


def with_errors(words, vocabulary, draw):
    """The words, each kept, exchanged, left out or doubled by chance."""
    heard = []
    for word in words:
        kind = draw.choice(4, p=[0.7, 0.14, 0.08, 0.08])
        other = str(draw.choice(vocabulary))
        heard += [[word], [other], [], [word, other]][kind]
    return heard


@needs_sctk
@pytest.mark.corpus
def test_nist_alignment_of_an4_is_sclites(tmp_path):
    manifest = CORPORA / "an4" / "manifest.jsonl"
    if not manifest.is_file():
        pytest.skip(f"{manifest} is not there")
    lines = manifest.read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"].split() for line in lines]
    vocabulary = sorted(set(itertools.chain.from_iterable(texts)))
    draw = np.random.default_rng(4)
    items = [(words, with_errors(words, vocabulary, draw)) for words in texts]

    aligned = sclite_alignments(items, tmp_path)

    assert [align_tokens(*item, costs=Costs.NIST) for item in items] == aligned
    by_letters = [(list("".join(said)), list("".join(heard))) for said, heard in items]
    letters = [align_tokens(*item, costs=Costs.NIST) for item in by_letters]
    assert letters == sclite_alignments(by_letters, tmp_path)
