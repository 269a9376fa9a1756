import json
import math
from dataclasses import replace

import numpy as np
import pytest

from ctcasr.decode_config import DecodeConfig
from ctcasr.decoding import best_path
from ctcasr.items import Item
from ctcasr.pipeline.evidence import Examiner
from ctcasr.scoring.measured import Verdict
from ctcasr.transcript import Transcript
from tests.oracles import ctc_log_prob_by_enumeration

BEST_PATH = DecodeConfig()


def look(recognizer, log_probs, *, reference, decode=BEST_PATH, samples=None):
    """What an examiner measures of one item that was heard so."""
    matrix = np.asarray(log_probs, dtype=np.float32)
    examiner = Examiner(recognizer, decode, {"item": reference})
    noise = 0.1 * np.random.default_rng(0).standard_normal(8_000)
    sound = noise.astype(np.float32) if samples is None else samples
    transcript = Transcript(id="item", source=None, model={}, decoder={}, duration=1.0)
    found = [best_path(matrix, recognizer.alphabet)]
    examiner(Item(sound, "item"), matrix, found, transcript)
    return examiner.measured["item"]


@pytest.fixture
def ambiguous(recognizer):
    """Five frames in which best path reads nothing, but "a" has more paths and more mass."""
    a = recognizer.alphabet.encode("a")[0]
    probs = np.full((5, len(recognizer.alphabet)), 0.001)
    probs[:, recognizer.alphabet.blank] = 0.55
    probs[:, a] = 0.45 - 0.001 * (len(recognizer.alphabet) - 2)
    return np.log(probs)


def test_scores_sum_all_paths(recognizer, ambiguous):
    facts = look(recognizer, ambiguous, reference="a")

    labels = recognizer.alphabet.encode("a")
    expected = ctc_log_prob_by_enumeration(ambiguous.astype(np.float32).astype(np.float64), labels)
    assert facts.reference_score == pytest.approx(expected, abs=1e-6)


def test_a_reference_that_the_model_prefers_is_the_searchs_fault(recognizer, ambiguous):
    assert look(recognizer, ambiguous, reference="a").verdict is Verdict.SEARCH
    assert look(recognizer, ambiguous, reference="d").verdict is Verdict.MODEL


def test_a_wider_search_finds_it_and_a_proof_fails(recognizer, ambiguous):
    facts = look(recognizer, ambiguous, reference="a")

    assert facts.wider == "a"
    assert facts.is_proven is False


def test_an_output_that_is_the_best_there_is_is_proven(recognizer):
    probs = np.full((3, len(recognizer.alphabet)), 0.001)
    probs[:, recognizer.alphabet.blank] = 1 - 0.001 * (len(recognizer.alphabet) - 1)

    assert look(recognizer, np.log(probs), reference="").is_proven is True


@pytest.mark.parametrize("reference", ["é", "aaaa"])
def test_what_the_model_cannot_write_is_out_of_its_reach(recognizer, ambiguous, reference):
    facts = look(recognizer, ambiguous, reference=reference)

    assert facts.reference_score == -math.inf
    assert facts.verdict is Verdict.UNWRITABLE
    assert facts.to_json()["reference_score"] is None


def test_words_that_a_lexicon_forbids_are_out_of_reach(recognizer, ambiguous, tmp_path):
    lexicon = tmp_path / "words.txt"
    lexicon.write_text("ab\nd\n", encoding="utf-8")
    decode = DecodeConfig(beam=8, lexicon=str(lexicon))

    assert look(recognizer, ambiguous, reference="a", decode=decode).verdict is Verdict.UNWRITABLE
    assert look(recognizer, ambiguous, reference="d", decode=decode).verdict is not None
    assert look(recognizer, ambiguous, reference="d", decode=decode).is_proven is None


def test_loud_and_quiet_frames_tell_the_level_range(recognizer, ambiguous):
    quiet, loud = 0.001 * np.ones(4_000), 0.1 * np.ones(4_000)
    samples = np.concatenate([quiet, loud]).astype(np.float32)

    facts = look(recognizer, ambiguous, reference="a", samples=samples)

    assert facts.level_range_db == pytest.approx(40.0, abs=0.1)


def test_score_of_a_text_is_what_the_search_ranks_it_by(recognizer, ambiguous, tmp_path):
    lexicon = tmp_path / "words.txt"
    lexicon.write_text("a\nab\nd\n", encoding="utf-8")
    decode = DecodeConfig(
        beam=32, threshold=0.0, nbest=32, lexicon=str(lexicon), beta=1.5, hotwords={"d": 2.0}
    )
    matrix = ambiguous.astype(np.float32)
    for found in recognizer.decoder(decode)([matrix])[0]:
        facts = look(recognizer, matrix, reference=found.text, decode=replace_nbest(decode))
        assert facts.reference_score == pytest.approx(found.log_prob, abs=1e-6), found.text


def replace_nbest(decode):
    return decode.model_copy(update={"nbest": 1})


def test_measured_facts_are_json_without_infinities(recognizer, ambiguous):
    facts = look(recognizer, ambiguous, reference="é")

    assert facts.reference_score == -math.inf
    for worst in (facts, replace(facts, output_score=-math.inf)):
        json.dumps(worst.to_json(), allow_nan=False)


def test_digital_silence_can_be_measured(recognizer):
    nothing = np.zeros((0, len(recognizer.alphabet)))

    facts = look(recognizer, nothing, reference="", samples=np.zeros(800, np.float32))

    assert (facts.output_score, facts.reference_score, facts.verdict) == (0.0, 0.0, Verdict.MODEL)
    assert facts.wider == ""
    assert look(recognizer, nothing, reference="a").verdict is Verdict.UNWRITABLE
