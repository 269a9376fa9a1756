import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.scoring.disagreement import disagreement, judge_disagreement, roc_curve
from ctcasr.scoring.error_rate import ErrorCounts
from ctcasr.scoring.measured import Measured
from ctcasr.scoring.results import ScoredUtterance


def utterance(name, *, reference, output, by_head, confidence=None):
    return ScoredUtterance(
        name,
        None,
        reference,
        output,
        ErrorCounts(),
        ErrorCounts(),
        measured=Measured(by_head=by_head, confidence=confidence),
    )


@given(
    pairs=st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=12),
)
def test_the_area_is_the_probability_that_a_wrong_one_scores_higher(pairs):
    scores, wrong = [score for score, _ in pairs], [bad for _, bad in pairs]

    roc = roc_curve(scores, wrong)

    high = [score for score, bad in pairs if bad]
    low = [score for score, bad in pairs if not bad]
    if not high or not low:
        assert roc is None
        return
    wins = sum((one > other) + 0.5 * (one == other) for one in high for other in low)
    assert roc is not None
    assert roc.area == pytest.approx(wins / len(high) / len(low))
    assert roc.points[0] == (0.0, 0.0)
    assert roc.points[-1] == (1.0, 1.0)


@given(one=st.text("ab", max_size=5), other=st.text("ab", max_size=5))
def test_disagreement_is_a_share_and_the_same_either_way(one, other):
    share = disagreement(one, other)

    assert share == disagreement(other, one)
    assert 0 <= share <= 1
    assert (share == 0) == (one == other)


def test_outputs_are_counted_by_whether_the_heads_agree_and_whether_they_are_right():
    found = judge_disagreement(
        [
            utterance("a", reference="x", output="x", by_head=("x", "x"), confidence=0.9),
            utterance("b", reference="x", output="y", by_head=("y", "y"), confidence=0.8),
            utterance("c", reference="ab", output="ab", by_head=("ab", "ac"), confidence=0.7),
            utterance("d", reference="x", output="q", by_head=("x", "q"), confidence=0.1),
            utterance("e", reference="x", output="x", by_head=None),
        ]
    )

    assert found is not None
    assert (found.outputs, found.wrong) == (4, 2)
    assert (found.differing, found.wrong_differing) == (2, 1)
    assert found.utterances == (("d", "x", "q", 1.0), ("c", "ab", "ac", 0.5))
    assert found.roc is not None
    assert found.roc.area == pytest.approx((0.5 + 0 + 1 + 1) / 4)
    assert found.confidence_roc is not None
    assert found.confidence_roc.area == pytest.approx((0 + 1 + 1 + 1) / 4)
    assert found.loops == ()


def test_attention_that_runs_in_circles_is_named():
    found = judge_disagreement(
        [
            utterance("a", reference="x", output="x", by_head=("abc", "abcabcabcabc")),
            utterance("b", reference="x", output="x", by_head=("abc" * 9, "abc" * 10)),
            utterance("c", reference="x", output="x", by_head=("", "ab")),
        ]
    )

    assert found is not None
    assert found.loops == ("a",)


def test_a_model_of_one_head_has_none():
    assert judge_disagreement([utterance("a", reference="", output="", by_head=None)]) is None
