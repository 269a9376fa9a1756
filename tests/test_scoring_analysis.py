import json
import math

from hypothesis import given
from hypothesis import strategies as st

from ctcasr.scoring import Costs, Reference, count_errors, score_utterances
from ctcasr.scoring.analysis import analyse, judge_search
from ctcasr.scoring.calibration import calibrate, words_right
from ctcasr.scoring.confusions import count_confusions, find_unseen
from ctcasr.scoring.measured import Measured, Verdict

texts = st.lists(st.sampled_from("abc"), max_size=6)


@given(st.lists(st.tuples(texts, texts), max_size=5))
def test_confusions_account_for_every_error(pairs):
    found = count_confusions(pairs)
    errors = sum((count_errors(ref, hyp).errors for ref, hyp in pairs), start=0)

    assert (
        found.substitutions.total() + found.deletions.total() + found.insertions.total() == errors
    )
    assert found.said.total() == sum(len(ref) for ref, _ in pairs)
    assert found.right.total() == found.said.total() - (
        found.substitutions.total() + found.deletions.total()
    )


def test_confusions_say_what_was_taken_for_what():
    found = count_confusions([(["the", "cat", "sat"], ["the", "hat", "sat", "down"])])

    assert found.to_json() == {
        "substitutions": [{"said": "cat", "heard": "hat", "n": 1, "of": 1}],
        "deletions": [],
        "insertions": [{"heard": "down", "n": 1}],
    }


def test_words_never_seen_stand_apart():
    found = count_confusions([(["new", "york", "new"], ["new", "cork", "new"])])

    unseen = find_unseen(found, {"york", "cork"})

    assert (unseen.said, unseen.right, unseen.words) == (2, 2, (("new", 2, 2),))
    assert find_unseen(found, {"new", "york"}).said == 0


def scored(rows):
    """Rows of (said, heard, measured)."""
    references = [Reference(f"u{n}", said) for n, (said, _, _) in enumerate(rows)]
    outputs = {f"u{n}": heard for n, (_, heard, _) in enumerate(rows)}
    measured = {f"u{n}": facts for n, (_, _, facts) in enumerate(rows)}
    return score_utterances(references, outputs, measured=measured)


def judged(reference, output, **facts):
    return Measured(reference_score=reference, output_score=output, **facts)


def test_each_wrong_output_is_somebodys_fault():
    results = scored(
        [
            ("a", "a", judged(-1.0, -1.0, is_proven=True, wider="a")),
            ("a b", "a", judged(-1.0, -2.0, is_proven=False, wider="a b")),
            ("a b", "b", judged(-3.0, -2.0, is_proven=True, wider="b")),
            ("ü", "u", judged(-math.inf, -2.0, is_proven=True, wider="u")),
        ]
    )

    found = judge_search(results.under_rules, rules=results.rules)

    assert found is not None
    assert found.to_json() == {
        "outputs": 4,
        "wrong": 3,
        "search": 1,
        "model": 1,
        "unwritable": 1,
        "unwritable_ids": ["u3"],
        "proven": 3,
        "changed_by_wider": 1,
        "wider_wer": 2 / 6,
        "wer": 3 / 6,
    }


def test_a_right_output_is_nobodys_fault_whatever_the_scores():
    results = scored([("a", "a", judged(-1.0, -2.0))])

    found = judge_search(results.under_rules, rules=results.rules)

    assert found is not None
    assert (found.wrong, found.by_verdict.total()) == (0, 0)


def test_rounding_is_no_search_error():
    assert judged(-1.0, -1.0 - 1e-9).verdict is Verdict.MODEL


def test_without_scores_nobody_is_blamed():
    results = score_utterances([Reference("u", "a")], {"u": "b"})

    analysis = analyse(results)

    assert analysis.search is None
    assert analysis.calibration is None
    assert analysis.unseen is None
    json.dumps(analysis.to_json(), allow_nan=False)


def test_words_are_right_where_the_alignment_has_an_equal_one():
    assert words_right(["a", "b", "c"], ["a", "x", "c", "d"], costs=Costs.LEVENSHTEIN) == [
        True,
        False,
        True,
        False,
    ]


def test_confidence_that_means_what_it_says_has_no_calibration_error():
    rows = [
        ("a", "a" if n % 4 else "b", Measured(confidence=0.75, word_confidences=(0.75,)))
        for n in range(40)
    ]

    found = calibrate(scored(rows).under_rules, costs=Costs.LEVENSHTEIN)

    assert found is not None
    assert found.right == found.confidence == 0.75
    assert found.words == 40


def test_certainty_that_is_wrong_half_the_time_is_half_off():
    rows = [
        ("a", "ab"[n % 2], Measured(confidence=1.0, word_confidences=(1.0,))) for n in range(10)
    ]

    found = calibrate(scored(rows).under_rules, costs=Costs.LEVENSHTEIN)

    assert found is not None
    assert found.expected_error == 0.5


@given(st.lists(st.tuples(st.sampled_from([0.25, 0.5, 1.0]), st.booleans()), min_size=1))
def test_words_of_equal_confidence_are_never_parted(words):
    rows = [
        ("a", "a" if right else "b", Measured(confidence=p, word_confidences=(p,)))
        for p, right in words
    ]

    found = calibrate(scored(rows).under_rules, costs=Costs.LEVENSHTEIN)

    assert found is not None
    assert sum(one.words for one in found.bins) == len(words)
    assert all(
        before.high < after.low for before, after in zip(found.bins, found.bins[1:], strict=False)
    )


def test_setting_the_least_certain_aside_leaves_fewer_errors_where_confidence_is_right():
    rows = [
        (
            "a",
            "b" if n < 5 else "a",
            Measured(confidence=n / 20, word_confidences=(n / 20,)),
        )
        for n in range(20)
    ]

    found = calibrate(scored(rows).under_rules, costs=Costs.LEVENSHTEIN)

    assert found is not None
    assert dict(found.coverage)[0.75] == 0.0
    assert dict(found.coverage)[1.0] == 0.25
    shares = [kept for kept, _ in found.coverage]
    assert shares == sorted(shares)


def test_an_output_whose_words_a_rule_has_changed_takes_no_part():
    rows = [("a b", "a b", Measured(confidence=0.9, word_confidences=(0.9,)))]

    assert calibrate(scored(rows).under_rules, costs=Costs.LEVENSHTEIN) is None
