"""A recurrent language model weighs the texts that the beam ends with."""

import hashlib
import json

import numpy as np
import pytest
import torch

from ctcasr.alphabet import Alphabet
from ctcasr.bundle import load
from ctcasr.decode_config import DecodeConfig
from ctcasr.decoder import ModelPart, TextDecoder, read_sources
from ctcasr.decoding import PrefixBeamDecoder, estimate_ngrams
from ctcasr.decoding.tokens import TokenUnit
from ctcasr.errors import LanguageModelError
from ctcasr.pipeline.emissions import EmissionStore
from ctcasr.pipeline.tune import DELTAS, GAMMAS, find_settings, hear
from ctcasr.recurrent_lm import read_recurrent_lm
from tests.oracles import log_probs_by_enumeration, random_log_probs
from tests.small_lm import make_lm, write_lm

ALPHABET = Alphabet(("<blank>", " ", "a", "b"))
FILE = "chars.safetensors"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def item(num_frames=5, *, seed=0):
    return random_log_probs(num_frames=num_frames, num_symbols=4, seed=seed, sharpness=1.5)


def score_text(lm, text, *, gamma, delta):
    """What a text is worth after the text rules, from the network alone."""
    text = " ".join(text.split())
    tokens = [0, *(lm.words.index("<space>" if char == " " else char) for char in text), 0]
    logits, _ = lm.network(torch.tensor([tokens[:-1]]))
    log_probs = logits[0].double().log_softmax(-1)
    total = sum(float(log_probs[at, token].detach()) for at, token in enumerate(tokens[1:]))
    return gamma * total + delta * len(text.split())


# What it finds


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("use_core", [None, False])
def test_rescoring_is_exhaustive_ranking_where_the_beam_holds_everything(seed, use_core, tmp_path):
    lm = read_recurrent_lm(write_lm(tmp_path / FILE, make_lm(seed=seed)))
    log_probs = item(4, seed=seed)
    decoder = PrefixBeamDecoder(
        ALPHABET,
        beam=1_000,
        threshold=0,
        rescore=lambda texts: [score_text(lm, text, gamma=0.8, delta=0.6) for text in texts],
        use_core=use_core,
    )

    scores = {
        labels: ctc + score_text(lm, ALPHABET.decode(labels), gamma=0.8, delta=0.6)
        for labels, ctc in log_probs_by_enumeration(log_probs).items()
    }
    ranked = sorted(scores, key=lambda labels: -scores[labels])

    found = decoder(log_probs)
    assert [one.labels for one in found] == ranked
    for one in found:
        assert one.log_prob == pytest.approx(scores[one.labels], abs=1e-5)
        assert decoder.worth(one.labels) == pytest.approx(one.log_prob - one.ctc_log_prob, abs=1e-6)
    plain = PrefixBeamDecoder(ALPHABET, beam=1_000, threshold=0)(log_probs)
    assert [one.labels for one in plain] != ranked


def test_settings_reach_the_rescoring(tmp_path):
    path = write_lm(tmp_path / FILE, make_lm())
    lm = read_recurrent_lm(path)
    decode = DecodeConfig(rescore=str(path), beam=1_000, threshold=0, nbest=7, gamma=1.1, delta=-2)
    items = [item(seed=seed).astype(np.float32) for seed in range(3)]

    found = TextDecoder(decode, ALPHABET, read_sources(decode, {}))(items)

    for row, hypotheses in zip(items, found, strict=True):
        scores = {
            labels: ctc + score_text(lm, ALPHABET.decode(labels), gamma=1.1, delta=-2)
            for labels, ctc in log_probs_by_enumeration(row.astype(np.float64)).items()
        }
        best = sorted(scores.values(), reverse=True)[:7]
        assert [one.log_prob for one in hypotheses] == pytest.approx(best, abs=1e-5)


def test_it_goes_with_an_ngram_model():
    ngram = estimate_ngrams([["a", "b"], ["a"], ["b", "b"]], order=2).model
    lm = make_lm()

    def decode(rescore=None):
        return PrefixBeamDecoder(
            ALPHABET, beam=500, threshold=0, lm=ngram, alpha=0.7, beta=0.4, rescore=rescore
        )(item())

    plain, both = decode(), decode(lm.log_probs)

    expected = {one.labels: one.log_prob + lm.log_probs([one.text])[0] for one in plain}
    assert [one.labels for one in both] == sorted(expected, key=lambda k: -expected[k])
    assert both[0].log_prob == pytest.approx(expected[both[0].labels])
    assert both[0].lm_log_prob == next(
        one.lm_log_prob for one in plain if one.labels == both[0].labels
    )


def test_confidence_is_that_of_the_new_scores():
    lm = make_lm()
    found = PrefixBeamDecoder(ALPHABET, beam=500, threshold=0, rescore=lm.log_probs)(item())
    scores = np.array([one.log_prob for one in found])
    shares = np.exp(scores - np.logaddexp.reduce(scores))
    assert [one.confidence for one in found] == pytest.approx(shares)


def test_a_stream_ends_where_the_whole_does():
    lm = make_lm()
    decoder = PrefixBeamDecoder(ALPHABET, beam=8, nbest=3, rescore=lm.log_probs)
    log_probs = item(12)
    stream = decoder.stream()
    for chunk in np.array_split(log_probs, 5):
        stream.feed(chunk)
    assert stream.finish() == decoder(log_probs)


def test_few_hypotheses_are_chosen_among_all_of_the_beam():
    lm = make_lm(spread=4)

    def decode(nbest):
        return PrefixBeamDecoder(
            ALPHABET,
            beam=300,
            threshold=0,
            nbest=nbest,
            rescore=lm.log_probs,
            confidence=False,
        )(item())

    all_of_them = decode(300)
    assert decode(1) == all_of_them[:1]
    plain = PrefixBeamDecoder(ALPHABET, beam=300, threshold=0)(item())
    assert all_of_them[0].labels != plain[0].labels


# What it says of itself, and refuses


def test_the_description_has_all_that_decides(tmp_path):
    path = write_lm(tmp_path / FILE, make_lm())
    decode = DecodeConfig(rescore=str(path), gamma=0.4, delta=1)
    assert TextDecoder(decode, ALPHABET, read_sources(decode, {})).description == {
        "search": "prefix_beam",
        "beam": 64,
        "threshold": 1e-6,
        "rescore": {"name": "chars.safetensors", "sha256": sha256(path)},
        "gamma": 0.4,
        "delta": 1.0,
    }


def test_what_lies_in_the_model_is_what_lies_in_a_file(tmp_path):
    path = write_lm(tmp_path / FILE, make_lm())
    parts = {"rescore": ModelPart("chars.safetensors", sha256(path), path.read_bytes())}
    items = [item(9).astype(np.float32)]
    found = []
    for decode in (DecodeConfig(rescore=str(path)), DecodeConfig(rescore="embedded")):
        (hypotheses,) = TextDecoder(decode, ALPHABET, read_sources(decode, parts))(items)
        found.append([(one.text, one.log_prob) for one in hypotheses])
    assert found[0] == found[1]


def test_what_is_missing_or_another_is_refused(tmp_path):
    path = write_lm(tmp_path / FILE, make_lm())
    gone = str(tmp_path / "gone.safetensors")
    for decode, message in (
        (DecodeConfig(rescore=gone), "no recurrent language model that can be read"),
        (DecodeConfig(rescore="embedded"), "the model file holds no recurrent language model"),
        (
            DecodeConfig(rescore_sha256="0" * 64),
            "decoding needs the recurrent language model (SHA-256 000",
        ),
        (
            DecodeConfig(rescore=str(path), rescore_sha256="0" * 64),
            "another recurrent language model than decoding needs",
        ),
    ):
        with pytest.raises(LanguageModelError) as caught:
            read_sources(decode, {})
        assert message in str(caught.value)


def test_the_best_path_heeds_no_model():
    with pytest.raises(ValueError, match="a beam of 0 is the best path"):
        DecodeConfig(beam=0, rescore="chars.safetensors")


def test_a_model_in_another_case_is_refused(tmp_path):
    decode = DecodeConfig(rescore=str(write_lm(tmp_path / FILE, make_lm(("<space>", "A", "K")))))
    with pytest.raises(LanguageModelError) as caught:
        TextDecoder(decode, ALPHABET, read_sources(decode, {}))
    assert str(caught.value) == (
        f"{decode.rescore}: the recognizer's labels can write none of its 2 tokens, such as 'A'; "
        f"make a model of text in the recognizer's spelling and case"
    )


def test_words_are_counted_by_a_model_of_words(tmp_path):
    lm = read_recurrent_lm(write_lm(tmp_path / FILE, make_lm(("ab", "b"), unit=TokenUnit.WORD)))
    decode = DecodeConfig(rescore=lm.name, beam=500, threshold=0, nbest=5, gamma=2)
    (found,) = TextDecoder(decode, ALPHABET, read_sources(decode, {}))([item().astype(np.float32)])
    for one in found:
        (score,) = lm.score([one.text.split()])
        assert one.log_prob - one.ctc_log_prob == pytest.approx(2 * score.log_prob, abs=1e-5)


def test_there_is_no_certificate_for_it():
    with pytest.raises(ValueError, match="leave out lm, lexicon, hotwords and rescore"):
        PrefixBeamDecoder(ALPHABET, certify=True, rescore=lambda texts: [0.0] * len(texts))


# The commands


@pytest.fixture
def tone_lm(tmp_path):
    """A model of the tone alphabet's letters that knows nothing."""
    return write_lm(tmp_path / "tones.safetensors", make_lm("abcd", spread=0.1))


def test_transcribe_and_evaluate_take_it(ctcasr, tone_run, tone_lm, tmp_path):
    path = tone_run.recordings / "3-cad.wav"
    arguments = ["-m", tone_run.folder, "--device", "cpu", "--rescore", tone_lm]

    ended = ctcasr("transcribe", *arguments, path, "-f", "jsonl", "--nbest", 3)

    assert ended.status == 0, ended.err
    line = json.loads(ended.out)
    assert line["decoder"]["rescore"] == {"name": "tones.safetensors", "sha256": sha256(tone_lm)}
    lm = read_recurrent_lm(tone_lm)
    plain = ctcasr(
        "transcribe", "-m", tone_run.folder, "--device", "cpu", path, "-f", "jsonl", "--nbest", 64
    )
    scores = {one["text"]: one["log_prob"] for one in json.loads(plain.out)["nbest"]}
    for one in line["nbest"]:
        expected = scores[one["text"]] + 0.3 * lm.log_probs([one["text"]])[0]
        assert one["log_prob"] == pytest.approx(expected, abs=1e-4)

    ended = ctcasr("evaluate", *arguments, tone_run.manifest, "-o", tmp_path / "eval")
    assert ended.status == 0, ended.err
    results = json.loads((tmp_path / "eval" / "results.json").read_text(encoding="utf-8"))
    assert results["decoder"]["gamma"] == 0.3


def test_tuning_finds_its_weights_and_the_new_model_carries_it(
    ctcasr, recognizer, tone_run, tone_lm, tmp_path
):
    new = tmp_path / "tuned.safetensors"
    ended = ctcasr(
        "tune", "-m", tone_run.folder, "--device", "cpu", tone_run.manifest, "-o", new,
        "--rescore", tone_lm, "--set", "decode.gamma=0.25", "--beam", 16,
    )  # fmt: skip
    assert ended.status == 0, ended.err
    header = ended.out.splitlines()[0]
    assert [cell.strip() for cell in header.split("|")[6:9]] == ["unknown", "gamma", "delta"]
    digest = sha256(tone_lm)
    tone_lm.unlink()

    tuned = load(new, device="cpu")

    assert tuned.config.decode.rescore == "embedded"
    assert tuned.config.decode.gamma == 0.25
    assert tuned.header["decoder"]["rescore"] == {"name": "tones.safetensors", "sha256": digest}
    assert ctcasr("info", new).status == 0
    path = tone_run.recordings / "4-bd.wav"
    assert ctcasr("transcribe", "-m", new, path).out == "bd\n"


def test_a_model_that_helps_nobody_is_left_out(ctcasr, tone_run, tone_lm, tmp_path):
    new = tmp_path / "tuned.safetensors"
    ended = ctcasr(
        "tune", "-m", tone_run.folder, "--device", "cpu", tone_run.manifest, "-o", new,
        "--rescore", tone_lm, "--beam", 8,
    )  # fmt: skip
    assert ended.status == 0
    assert f"note: {tone_lm} makes no fewer errors; the new model does without it" in ended.err
    assert load(new, device="cpu").config.decode.rescore is None


def test_every_weight_is_tried(recognizer, tone_run, tone_lm):
    with EmissionStore() as emissions:
        heard = hear(recognizer, tone_run.manifest, emissions)
        base = DecodeConfig(rescore=str(tone_lm), beam=8)
        tuned = find_settings(recognizer, heard, base, fixed=["beam", "threshold"])

    points = [
        (trial.decode.gamma, trial.decode.delta) for trial in tuned.trials if trial.decode.rescore
    ]
    assert sorted(points) == [(gamma, delta) for gamma in GAMMAS for delta in DELTAS]
    assert sum(trial.decode.rescore is None for trial in tuned.trials) == 1
