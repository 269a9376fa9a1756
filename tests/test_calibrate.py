import json

import numpy as np
import pytest
import soundfile

from ctcasr.bundle import load
from ctcasr.decode_config import DecodeConfig
from ctcasr.decoder import Emissions
from ctcasr.decoding import PrefixBeamDecoder
from ctcasr.decoding.confidence import agreement, posteriors
from ctcasr.manifest import Utterance, write_manifest
from ctcasr.pipeline.calibrate import fit_temperature
from ctcasr.pipeline.emissions import EmissionStore
from ctcasr.pipeline.tune import Heard
from tests.conftest import TONE_TEXTS, speak_tones
from tests.oracles import random_log_probs


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A manifest of 64 recordings, enough words to fit a temperature on."""
    folder = tmp_path_factory.mktemp("many")
    utterances = []
    for number in range(64):
        text = TONE_TEXTS[number % len(TONE_TEXTS)]
        path = folder / f"{number:02}.wav"
        soundfile.write(path, speak_tones(text, seed=100 + number), 8_000)
        utterances.append(Utterance(id=f"n{number:02}", path=path, text=text))
    write_manifest(folder / "many.jsonl", utterances)
    return folder / "many.jsonl"


def fit_on(recognizer, references, *, sure, decode):
    """Fit on items of one frame in which "a" has a share, and "b" the rest."""
    a, b = (recognizer.alphabet.encode(letter)[0] for letter in "ab")
    log_probs = np.full((1, len(recognizer.alphabet)), -30.0, dtype=np.float32)
    log_probs[0, [a, b]] = np.log([sure, 1 - sure])
    with EmissionStore() as emissions:
        for _ in references:
            emissions.append(Emissions([log_probs]))
        heard = Heard(emissions, tuple(references), ("nfc",), (), ())
        return fit_temperature(recognizer, heard, decode)


SEARCH = DecodeConfig(beam=16, threshold=0.0)


def test_confidence_becomes_the_share_of_right_words(recognizer):
    references = ["a"] * 150 + ["b"] * 50  # "a" is right three times of four

    fitted = fit_on(recognizer, references, sure=0.95, decode=SEARCH)

    assert fitted is not None
    # 0.95 ** (1 / t) against 0.05 ** (1 / t) is as 3 to 1
    assert fitted.temperature == pytest.approx(np.log(19) / np.log(3), rel=0.03)
    assert fitted.words == 200
    assert fitted.before == pytest.approx(0.2, abs=1e-6)
    assert fitted.after < 0.01


def test_what_is_true_already_stays_as_it_is(recognizer):
    fitted = fit_on(recognizer, ["a"] * 75 + ["b"] * 25, sure=0.75, decode=SEARCH)

    assert fitted is not None
    assert fitted.temperature == pytest.approx(1.0, rel=0.03)


def test_best_path_has_nothing_to_calibrate(recognizer):
    assert fit_on(recognizer, ["a"] * 100, sure=0.9, decode=DecodeConfig()) is None


def test_too_few_words_give_no_temperature(recognizer):
    assert fit_on(recognizer, ["a"] * 49, sure=0.9, decode=SEARCH) is None


def test_a_tuned_model_says_calibrated_for_its_own_search_only(ctcasr, tone_run, many, tmp_path):
    model = tmp_path / "tuned.safetensors"
    search = ("--beam", "16", "--set", "decode.threshold=1e-6")
    ended = ctcasr("tune", "-m", tone_run.folder, many, "-o", model, *search)
    assert ended.status == 0
    assert "temperature" in ended.err

    def kinds(*options):
        out = ctcasr("transcribe", "-m", model, many, "-f", "jsonl", *options).out
        return {json.loads(line)["confidence_kind"] for line in out.splitlines()}

    assert kinds() == {"calibrated"}
    assert kinds("--nbest", "3") == {"calibrated"}  # the same search, shown further
    assert kinds("--beam", "8") == {"posterior"}


def test_calibration_changes_no_text(tone_run, many, ctcasr, tmp_path):
    model = tmp_path / "tuned.safetensors"
    ctcasr("tune", "-m", tone_run.folder, many, "-o", model, "--beam", "16")
    plain, tuned = load(tone_run.folder, device="cpu"), load(model, device="cpu")
    decode = tuned.config.decode
    audio = many.parent / "03.wav"

    before, after = (one.transcribe(audio, decode=decode) for one in (plain, tuned))

    assert before.text == after.text
    assert before.log_prob == after.log_prob
    assert before.confidence != after.confidence


def test_a_temperature_divides_scores():
    log_probs = random_log_probs(num_frames=6, num_symbols=3, seed=1)
    one, hot = (
        PrefixBeamDecoder(["_", "a", "b"], beam=16, temperature=t)(log_probs) for t in (1.0, 2.0)
    )

    scores = np.array([found.log_prob for found in one])
    expected = np.exp(scores / 2) / np.exp(scores / 2).sum()

    assert [found.labels for found in one] == [found.labels for found in hot]
    np.testing.assert_allclose([found.confidence or 0.0 for found in hot], expected, rtol=1e-12)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_cannot_be_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature"):
        PrefixBeamDecoder(["_", "a"], temperature=temperature)


def test_posteriors_of_nothing_are_none():
    assert posteriors([], 2.0) == []


def test_texts_agree_on_words_in_the_same_place():
    agreed = agreement(["a", "b"], [["a", "b"], ["a"], ["x", "b"], ["b", "a", "b"], []])

    assert agreed.tolist() == [
        [True, True, False, True, False],
        [True, False, True, True, False],
    ]
