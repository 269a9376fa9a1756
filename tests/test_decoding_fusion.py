"""A recurrent model in the beam: what it weighs is what the definition says."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.alphabet import Alphabet
from ctcasr.decode_config import DecodeConfig
from ctcasr.decoder import ModelPart, TextDecoder, read_sources
from ctcasr.decoding import PrefixBeamDecoder, estimate_ngrams
from ctcasr.decoding.context import make_context
from ctcasr.decoding.fusion import make_fusion
from ctcasr.decoding.ngram import END, label_token
from ctcasr.errors import ConfigError, LanguageModelError
from tests.oracles import log_probs_by_enumeration, random_log_probs
from tests.small_lm import make_lm, write_lm

ALPHABET = Alphabet(("<blank>", " ", "a", "b"))
FILE = "chars.safetensors"


def item(num_frames=5, *, seed=0):
    return random_log_probs(num_frames=num_frames, num_symbols=4, seed=seed, sharpness=1.5)


def exact_lm(*arguments, **settings):
    """The small model in float64, to compare tightly with."""
    return make_lm(*arguments, **settings, dtype=torch.float64)


def fuse(lm, *, beam=1_000, threshold=0.0, **settings):
    return PrefixBeamDecoder(
        ALPHABET, beam=beam, threshold=threshold, lm=lm, lm_unit="label", **settings
    )


class NgramSteps:
    """An n-gram model of labels in the clothes of a recurrent one."""

    name = "steps"

    def __init__(self, model):
        self.model = model
        self.num_steps = 0

    def known_words(self):
        return self.model.known_words()

    def encode(self, sentence):
        return [self.model.word_id(word) for word in sentence]

    def step(self, memories, tokens):
        self.num_steps += 1
        start = self.model.start
        after = [
            start if memory is None else self.model.step(memory, token)[0]
            for memory, token in zip(memories, tokens, strict=True)
        ]
        rows = [[self.model.step(s, w)[1] for w in range(len(self.model.words))] for s in after]
        return after, np.array(rows)

    def score(self, sentences):
        return [self.model.log_prob(sentence) for sentence in sentences]


def label_ngrams():
    sentences = [list("ab"), ["a", "<space>", "b"], list("bba"), ["b", "<space>", "a", "a"]]
    return estimate_ngrams(sentences, order=3).model


@pytest.mark.parametrize("seed", range(4))
def test_fusion_is_exhaustive_search_where_the_beam_holds_everything(seed):
    lm, log_probs = exact_lm(seed=seed), item(4, seed=seed)
    decoder = fuse(lm, alpha=0.7, beta=0.9)

    def score(labels):
        tokens = [label_token(ALPHABET.labels[label]) for label in labels]
        return 0.7 * lm.score([tokens])[0].log_prob + 0.9 * len(labels)

    scores = {
        labels: ctc + score(labels) for labels, ctc in log_probs_by_enumeration(log_probs).items()
    }

    found = decoder(log_probs)
    assert [one.labels for one in found] == sorted(scores, key=lambda labels: -scores[labels])
    for one in found:
        assert one.log_prob == pytest.approx(scores[one.labels], abs=1e-9)
        assert decoder.worth(one.labels) == pytest.approx(score(one.labels), abs=1e-9)
    tokens = [label_token(ALPHABET.labels[label]) for label in found[0].labels]
    assert found[0].lm_log_prob == pytest.approx(lm.score([tokens])[0].log_prob)


@given(seed=st.integers(0, 10_000), beam=st.integers(1, 12))
def test_an_ngram_model_fused_step_by_step_is_the_same_model_in_the_search(seed, beam):
    model, log_probs = label_ngrams(), item(12, seed=seed)
    settings = {"beam": beam, "threshold": 1e-6, "alpha": 0.6, "beta": 0.5}

    fused = fuse(NgramSteps(model), **settings)(log_probs)
    known = fuse(model, **settings)(log_probs)

    assert [one.labels for one in fused] == [one.labels for one in known]
    for one, other in zip(fused, known, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-9)
        assert one.lm_log_prob == pytest.approx(other.lm_log_prob, abs=1e-9)


def test_a_step_gives_what_a_whole_sentence_does():
    lm = exact_lm()
    sentences = [["a", "b", "<space>"], ["b", "b", "x"]]
    memories, tokens = [None, None], [0, 0]
    totals = np.zeros(2)
    for position in range(4):
        memories, log_probs = lm.step(memories, tokens)
        np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, rtol=0, atol=1e-12)
        words = [(*sentence, END)[position] for sentence in sentences]
        tokens = lm.encode(words)
        totals += log_probs[[0, 1], tokens]
    expected = [score.log_prob for score in lm.score(sentences)]
    np.testing.assert_allclose(totals, expected, rtol=0, atol=1e-12)


def test_the_prefixes_of_a_beam_are_read_in_one_step():
    model = NgramSteps(label_ngrams())
    fuse(model, beam=20)(item(15))
    assert model.num_steps <= 15 + 1


@pytest.mark.parametrize("beta", [-1.0, 0.0, 2.5])
def test_no_label_is_worth_more_than_the_bound(beta):
    hotwords = make_context(ALPHABET, hotwords={"ab": 2.0})
    context = make_fusion(
        ALPHABET, lm=exact_lm(), others=hotwords, alpha=0.01, beta=beta, unknown=0
    )
    state = context.start()
    for label in (2, 3, 1, 2, 2, 3, 1):
        worths = [context.extend(state, k)[1] for k in (1, 2, 3)]
        assert context.gain(state) >= max(worths)
        state, _ = context.extend(state, label)


def test_hotwords_go_with_it():
    lm, hotwords = exact_lm(), {"ab": 2.0, "b": 0.5}
    both = fuse(lm, alpha=0.7, hotwords=hotwords)
    apart = fuse(lm, alpha=0.7), PrefixBeamDecoder(ALPHABET, hotwords=hotwords)
    for one in both(item(4)):
        expected = sum(decoder.worth(one.labels) for decoder in apart)
        assert both.worth(one.labels) == pytest.approx(expected, abs=1e-9)
        assert one.log_prob == pytest.approx(one.ctc_log_prob + expected, abs=1e-9)


def test_a_label_that_the_model_does_not_know_costs_what_unknown_says():
    lm = exact_lm(("<space>", "a"))
    dear, cheap = fuse(lm, unknown=-3), fuse(lm)
    assert dear.worth((2, 3, 3)) == pytest.approx(cheap.worth((2, 3, 3)) - 6)
    assert dear.worth((2, 1)) == cheap.worth((2, 1))


def test_a_stream_ends_where_the_whole_does():
    decoder = fuse(exact_lm(), beam=6, threshold=1e-4)
    stream = decoder.stream()
    for chunk in np.array_split(item(11), 4):
        stream.feed(chunk)
    assert stream.finish() == decoder(item(11))


def test_settings_reach_the_fusion(tmp_path):
    path = write_lm(tmp_path / FILE, make_lm())
    decode = DecodeConfig(lm=str(path), lm_unit="label", beam=40, alpha=0.8, beta=0.1)
    decoder = TextDecoder(decode, ALPHABET, read_sources(decode, {}))

    ((found, *_),) = decoder([item().astype(np.float32)])

    (expected, *_) = fuse(make_lm(), beam=40, threshold=1e-6, alpha=0.8, beta=0.1)(
        item().astype(np.float32)
    )
    parts = {"lm": ModelPart(FILE, "0" * 64, path.read_bytes())}
    inside = decode.model_copy(update={"lm": "embedded"})
    embedded = TextDecoder(inside, ALPHABET, read_sources(inside, parts))
    assert embedded([item().astype(np.float32)])[0][0].log_prob == found.log_prob
    assert found.text == expected.text
    assert found.log_prob == pytest.approx(expected.log_prob)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert decoder.description["lm"] == {"name": FILE, "sha256": digest}
    assert decoder.description["lm_unit"] == "label"


def test_tokens_that_no_label_writes_are_told_of(tmp_path):
    decode = DecodeConfig(
        lm=str(write_lm(tmp_path / FILE, make_lm(("<space>", "a", "q")))), lm_unit="label"
    )
    decoder = TextDecoder(decode, ALPHABET, read_sources(decode, {}))
    assert "1 of 3 words cannot be written with the recognizer's labels" in decoder.notes[0]


def test_what_does_not_go_together_is_refused_in_one_line(tmp_path):
    lexicon = tmp_path / "words.txt"
    lexicon.write_text("ab\n", encoding="utf-8")
    for settings in ({}, {"lm_unit": "label", "lexicon": str(lexicon)}):
        decode = DecodeConfig(lm=str(write_lm(tmp_path / FILE, make_lm())), **settings)
        with pytest.raises(ConfigError) as caught:
            TextDecoder(decode, ALPHABET, read_sources(decode, {}))
        assert str(caught.value) == (
            f"decode: {decode.lm}: a recurrent language model in the beam counts labels; say "
            f"lm_unit=label and leave lexicons out, or weigh whole texts by it: rescore"
        )


def test_a_model_of_another_unit_or_case_is_refused():
    lm = make_lm(("AB", "B"))
    with pytest.raises(LanguageModelError) as caught:
        fuse(lm)
    assert str(caught.value) == (
        "recurrent language model: none of its 2 tokens is a label of the recognizer; make a model "
        "of text in the recognizer's unit (char), spelling and case"
    )


def test_labels_are_matched_by_name_whatever_their_order():
    lm = exact_lm()
    other = Alphabet(("b", "a", "<blank>", " "), blank=2)
    log_probs = item(4)
    moved = log_probs[:, [3, 2, 0, 1]]
    decoder = PrefixBeamDecoder(other, beam=1_000, threshold=0, lm=lm, lm_unit="label")
    here, there = fuse(lm)(log_probs), decoder(moved)
    assert [one.text for one in here[:20]] == [one.text for one in there[:20]]
