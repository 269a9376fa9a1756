import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcasr.errors import ConfigError, ScoringError
from ctcasr.scoring import Failed, Provenance, Reference, score_utterances

REFERENCES = [
    Reference("u1", "Hello there", "ann"),
    Reference("u2", "good  morning\n", "ann"),
    Reference("u3", "yes", "ben"),
]


def test_results_have_the_fields_that_the_interface_fixes():
    made = score_utterances(REFERENCES, {"u1": "Hello there", "u2": "good evening", "u3": "yes"})

    record = json.loads(json.dumps(made.to_json(), allow_nan=False))

    assert set(record) - {"costs", "clusters"} == {
        "schema", "command", "commit", "versions", "model", "decoder", "reference_sha256",
        "rules", "raw", "normalised", "items", "partial", "rtf", "utterances",
    }  # fmt: skip
    assert set(record["raw"]) == set(record["normalised"]) == {"word", "char", "sentence"}
    assert record["raw"]["word"] == {
        "n": 5, "hit": 4, "sub": 1, "del": 0, "ins": 0, "rate": 0.2,
        "ci95": record["raw"]["word"]["ci95"], "resampled_by": "speaker",
    }  # fmt: skip
    assert record["raw"]["sentence"]["wrong"] == 1
    assert record["raw"]["sentence"]["n"] == 3
    assert record["items"] == {"total": 3, "scored": 3, "failed": []}
    assert record["partial"] is False
    assert record["utterances"][1]["ref"] == "good morning"
    assert record["utterances"][1]["word"]["sub"] == 1
    assert record["utterances"][1]["speaker"] == "ann"


def test_cer_counts_spaces():
    char = score_utterances([Reference("u", "a b")], {"u": "ab"}).raw.char.counts

    assert (char.reference_length, char.deletions) == (3, 1)


def test_raw_keeps_case_and_the_rules_reach_only_the_normalised_score():
    made = score_utterances(
        [Reference("u", "Don't stop, please")],
        {"u": "don't stop please"},
        rules=("nfc", "lowercase", "punctuation"),
    )

    assert made.raw.word.counts.errors == 2
    assert made.normalised.word.counts.errors == 0
    assert made.rules == ("nfc", "lowercase", "punctuation")
    assert made.utterances[0].reference == "Don't stop, please"


def test_composed_and_decomposed_text_are_equal():
    made = score_utterances([Reference("u", "caf\u00e9")], {"u": "cafe\u0301"})

    assert made.raw.char.counts.errors == 0


def test_missing_and_failed_output_counts_as_empty_and_is_named():
    made = score_utterances(REFERENCES, {"u1": "Hello there", "u2": Failed("not audio")})

    assert made.partial
    assert made.failed == (("u2", "not audio"), ("u3", "no hypothesis"))
    assert made.raw.word.counts.deletions == 3
    assert made.raw.sentence.wrong == 2
    assert made.to_json()["items"] == {
        "total": 3,
        "scored": 1,
        "failed": [
            {"id": "u2", "reason": "not audio"},
            {"id": "u3", "reason": "no hypothesis"},
        ],
    }


def test_silence_that_fails_is_still_partial():
    made = score_utterances([Reference("u", "")], {"u": Failed("no file")})

    assert made.partial
    assert made.raw.word.counts.rate is None


def test_references_without_text_are_left_out_and_named():
    made = score_utterances([*REFERENCES, Reference("u4", None)], {"u4": "anything"})

    assert made.unlabelled == ("u4",)
    assert len(made.utterances) == 3


def test_nothing_to_score_has_no_rates():
    record = score_utterances([], {}).to_json()

    assert record["raw"]["word"]["rate"] is None
    assert record["raw"]["sentence"] == {"n": 0, "wrong": 0, "rate": None, "ci95": None}
    assert record["raw"]["char"]["resampled_by"] is None


def test_origin_is_kept():
    origin = Provenance(command="ctcasr score a b", versions={"ctcasr": "0.1.0"}, rtf=0.1)

    record = score_utterances([], {}, provenance=origin).to_json()

    assert (record["command"], record["rtf"]) == ("ctcasr score a b", 0.1)
    assert record["versions"] == {"ctcasr": "0.1.0"}


def test_hypotheses_of_other_items_are_named():
    with pytest.raises(
        ScoringError,
        match="2 of 3 hypotheses belong to no reference: 'x', 'y'; score them against the manifest",
    ):
        score_utterances(REFERENCES, {"u1": "a", "x": "b", "y": "c"})


def test_ids_given_twice_are_named():
    with pytest.raises(ScoringError, match="references: ids given twice: 'u1'; give each one its"):
        score_utterances([*REFERENCES, REFERENCES[0]], {})


def test_many_ids_are_named_in_part():
    with pytest.raises(ScoringError, match="'4' and 3 more; score"):
        score_utterances([], {str(number): "" for number in range(8)})


def test_an_unknown_rule_is_named():
    with pytest.raises(ConfigError, match="'lowercas' does not exist"):
        score_utterances(REFERENCES, {}, rules=("lowercas",))


texts = st.text(alphabet="aB c", max_size=8)


@settings(max_examples=15, deadline=None)
@given(pairs=st.lists(st.tuples(texts, texts), max_size=5))
def test_totals_are_the_sum_of_the_utterances(pairs):
    made = score_utterances(
        [Reference(str(n), ref) for n, (ref, _) in enumerate(pairs)],
        {str(n): hyp for n, (_, hyp) in enumerate(pairs)},
    )

    assert made.raw.word.counts.errors == sum(item.word.errors for item in made.utterances)
    assert made.raw.char.counts.errors == sum(item.char.errors for item in made.utterances)
    assert made.normalised == made.raw
