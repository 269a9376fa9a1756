"""Streaming: what comes bit by bit ends as what comes at once."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ctcasr.config import RunConfig
from ctcasr.decode_config import DecodeConfig
from ctcasr.errors import AudioError, ConfigError
from ctcasr.frontends.feature_stats import FeatureStats
from ctcasr.models.network import Network
from ctcasr.recognizer import Recognizer
from ctcasr.streaming import EmissionStream
from tests.conftest import speak_tones, tone_alphabet

RATE = 8_000


def make_recognizer(*, frontend=None, encoder=None, seed=0):
    """A forwards-only model with random weights."""
    config = RunConfig.model_validate(
        {
            "frontend": {"sample_rate": RATE, "num_mels": 20, "normalise": "training"}
            | (frontend or {}),
            "encoder": {
                "directions": "forwards",
                "layers": 3,
                "hidden": 8,
                "channels": 8,
                "maps": 2,
            }
            | (encoder or {}),
        }
    )
    torch.manual_seed(seed)
    alphabet = tone_alphabet()
    size = config.frontend.num_features
    network = Network(config.encoder, num_features=size, num_labels=len(alphabet))
    with torch.no_grad():
        network.ctc.output.weight.mul_(2)
        for name, weight in network.named_parameters():
            if "start_" in name:
                weight.normal_()
    stats = None
    if config.frontend.normalise == "training":
        stats = FeatureStats(torch.linspace(-9, -7, size), torch.linspace(1, 2, size))
    return Recognizer(config, alphabet, network, stats=stats)


def make_talker(*, seed=0):
    """One that writes several words; with other weights, others."""
    return make_recognizer(encoder={"layers": 1, "hidden": 16, "stride": 1}, seed=seed)


def pieces_of(samples, cuts):
    return np.split(samples, sorted(cut % (len(samples) + 1) for cut in cuts))


def streamed_log_probs(recognizer, pieces):
    stream = EmissionStream(recognizer.features, recognizer.network, recognizer.device)
    rows = [stream.feed(piece) for piece in pieces]
    return np.concatenate([*rows, stream.feed(np.zeros(0, np.float32), is_last=True)])


def require_same(recognizer, samples, pieces):
    (expected,) = recognizer.log_probs([samples])

    found = streamed_log_probs(recognizer, pieces)

    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)


def tones(num_samples=9_000, seed=0):
    return speak_tones("abcdabcd", seed=seed)[:num_samples].astype(np.float32)


ENCODERS = [
    {"subsampling": "stack", "stride": 1},
    {"subsampling": "stack", "stride": 3},
    {"subsampling": "conv", "stride": 1},
    {"subsampling": "conv", "stride": 4},
    {"subsampling": "conv2d", "stride": 1},
    {"subsampling": "conv2d", "stride": 3},
    {"subsampling": "conv2d", "stride": 4, "maps": [2, 3, 2]},
    {"cell": "gru"},
    {"cell": "rnn_tanh"},
    {"cell": "rnn_relu"},
    {"start_state": "learned"},
    {"start_state": "learned", "cell": "gru"},
    {"projection": 6, "layer_norm": True},
    {"hidden": [8, 6, 10]},
    {"skip": "residual"},
    {"skip": "dense"},
    {"skip": "to_output"},
    {"reduce_after": [1]},
    {"reduce_after": [1, 2], "subsampling": "conv", "stride": 2},
    {"reduce_after": [2], "skip": "residual"},
    {"reduce_after": [1, 2], "skip": "dense"},
    {"reduce_after": [1, 2], "skip": "to_output", "subsampling": "conv2d", "stride": 2},
]
FRONTENDS = [
    {"normalise": "none"},
    {"kind": "spectrogram"},
    {"kind": "mfcc", "deltas": 0},
    {"kind": "mfcc", "deltas": 1},
    {"kind": "mfcc", "deltas": 2},
    {"window_ms": 32.0},  # as long as its transform
    {"window_ms": 25.0, "hop_ms": 40.0},  # samples between two windows
    {"window_ms": 30.125, "hop_ms": 7.125},  # odd numbers of samples
]
cuts = st.lists(st.integers(0, 10**6), max_size=12)


@pytest.mark.parametrize("encoder", ENCODERS, ids=str)
@hypothesis_settings(max_examples=12)
@given(cuts=cuts, num_samples=st.integers(1, 9_000))
def test_however_samples_are_cut_the_network_says_what_it_says_of_all(encoder, cuts, num_samples):
    recognizer = make_recognizer(encoder=encoder)
    samples = tones(num_samples)

    require_same(recognizer, samples, pieces_of(samples, cuts))


@pytest.mark.parametrize("frontend", FRONTENDS, ids=str)
@hypothesis_settings(max_examples=12)
@given(cuts=cuts, num_samples=st.integers(1, 9_000))
def test_features_are_those_of_the_whole_recording(frontend, cuts, num_samples):
    recognizer = make_recognizer(frontend=frontend)
    samples = tones(num_samples)

    require_same(recognizer, samples, pieces_of(samples, cuts))


@pytest.mark.parametrize("subsampling", ["stack", "conv", "conv2d"])
def test_single_samples_will_do(subsampling):
    recognizer = make_recognizer(encoder={"subsampling": subsampling, "reduce_after": [1]})
    samples = tones(3_000)

    require_same(recognizer, samples, np.split(samples, len(samples)))


def test_a_chunk_may_be_longer_than_what_goes_through_at_once():
    recognizer = make_recognizer(encoder={"subsampling": "conv", "layers": 1})
    samples = np.tile(tones(8_000), 70)  # 7,000 frames

    require_same(recognizer, samples, [samples[:100], samples[100:-100], samples[-100:]])


@pytest.mark.parametrize("frontend", [{}, *FRONTENDS], ids=str)
@pytest.mark.parametrize(
    "encoder", [{}, {"subsampling": "conv"}, {"subsampling": "conv2d", "reduce_after": [1, 2]}]
)
def test_a_frame_is_there_as_soon_as_the_latency_says(frontend, encoder):
    recognizer = make_recognizer(frontend=frontend, encoder=encoder)
    stream = EmissionStream(recognizer.features, recognizer.network, recognizer.device)
    hop = recognizer.config.frontend.hop * recognizer.config.encoder.frames_per_output
    samples = np.tile(tones(9_000), 4)
    before = 2 * hop + stream.latency - 1

    assert len(stream.feed(samples[:before])) == 2
    assert len(stream.feed(samples[before : before + 1])) == 1
    assert recognizer.stream().latency_ms == 1000 * stream.latency / RATE


@pytest.mark.parametrize(
    ("frontend", "encoder", "latency_ms"),
    [
        # half a window of 25 ms, and the frames of 10 ms that a frame of output waits for
        ({}, {"stride": 1}, 12.5),
        ({}, {"stride": 3}, 12.5 + 20),
        ({}, {"subsampling": "conv", "stride": 3}, 12.5 + 50),
        ({}, {"subsampling": "conv2d", "stride": 3}, 12.5 + 40),
        ({}, {"reduce_after": [1], "stride": 3}, 12.5 + 50),
        ({"kind": "mfcc", "deltas": 2}, {"stride": 1}, 12.5 + 40),
    ],
)
def test_the_latency_is_what_the_network_must_wait_for(frontend, encoder, latency_ms):
    assert make_recognizer(frontend=frontend, encoder=encoder).stream().latency_ms == latency_ms


SEARCHES = [
    DecodeConfig(),
    DecodeConfig(beam=8),
    DecodeConfig(beam=8, nbest=3, hotwords={"ab": 2.0}),
]


@pytest.mark.parametrize("decode", SEARCHES, ids=lambda decode: f"beam{decode.beam}-{decode.nbest}")
@given(cuts=cuts, seed=st.integers(0, 3))
def test_the_transcript_is_that_of_the_whole_recording(decode, cuts, seed):
    recognizer = make_talker(seed=seed)
    samples = tones(seed=seed)
    stream = recognizer.stream(decode)
    expected = recognizer.transcribe(samples, sample_rate=RATE, decode=decode)

    for piece in pieces_of(samples, cuts):
        stream.feed(piece)
    found = stream.finish()

    assert found.text == expected.text
    assert found.words
    assert [(w.text, w.start, w.end) for w in found.words] == [
        (w.text, w.start, w.end) for w in expected.words
    ]
    assert found.log_prob == pytest.approx(expected.log_prob, abs=1e-3)
    assert [other.text for other in found.nbest] == [other.text for other in expected.nbest]


@pytest.mark.parametrize("decode", SEARCHES, ids=lambda decode: f"beam{decode.beam}-{decode.nbest}")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_has_settled_never_changes(decode, seed):
    recognizer = make_talker(seed=seed)
    stream = recognizer.stream(decode)
    settled = [""]

    for piece in np.array_split(tones(seed=seed), 40):
        stream.feed(piece)
        settled.append(stream.settled_text)
        assert stream.best_text.startswith(settled[-1])
    text = stream.finish().text

    assert all(text.startswith(early) for early in settled)
    assert all(late.startswith(early) for early, late in pairwise(settled))
    assert any(settled), "something settles before the end"
    whole_words = text.split()
    assert all(early.split() == whole_words[: len(early.split())] for early in settled)


def test_an_empty_stream_has_no_text():
    recognizer = make_talker()
    stream = recognizer.stream()

    stream.feed(np.zeros(0, np.float32))

    assert (stream.settled_text, stream.best_text) == ("", "")
    assert stream.finish().text == ""


def test_digital_silence_has_no_text_and_settles_nothing():
    recognizer = make_talker()
    silence = np.zeros(8_000, np.float32)
    stream = recognizer.stream()

    stream.feed(silence)

    assert recognizer.log_probs([silence])[0].argmax(-1).any(), "the network would write something"
    assert (stream.settled_text, stream.best_text) == ("", "")
    assert stream.finish().text == ""


def test_silence_before_the_first_sound_is_heard_by_the_network():
    recognizer = make_talker()
    samples = np.concatenate([np.zeros(8_000, np.float32), tones()])
    stream = recognizer.stream()

    for piece in np.array_split(samples, 10):
        stream.feed(piece)

    assert stream.finish().text == recognizer.transcribe(samples, sample_rate=RATE).text


@pytest.mark.parametrize(
    ("section", "values", "named"),
    [
        ("encoder", {"directions": "both"}, "encoder.directions=forwards"),
        ("frontend", {"normalise": "utterance"}, "frontend.normalise=training"),
        ("frontend", {"level": True}, "frontend.level=false"),
    ],
)
def test_a_model_that_needs_the_whole_recording_is_refused_by_the_key(section, values, named):
    recognizer = make_recognizer(**{section: values})

    with pytest.raises(ConfigError, match=f"cannot stream: .*{named}"):
        recognizer.stream()


@pytest.mark.parametrize(
    ("samples", "found"),
    [
        (np.zeros((2, 8), np.float32), r"shape \(2, 8\)"),
        (np.zeros(8, np.int16), "int16"),
        (np.array([0.0, np.nan]), "NaN"),
    ],
)
def test_chunks_that_are_no_samples_are_refused(samples, found):
    with pytest.raises(AudioError, match=found):
        make_talker().stream().feed(samples)


def test_the_caller_may_use_its_buffer_again():
    recognizer = make_talker()
    samples = tones()
    stream, buffer = recognizer.stream(), np.zeros(20, np.float32)

    for piece in np.split(samples, 450):
        buffer[:] = piece
        stream.feed(buffer)
        buffer[:] = 1

    expected = recognizer.transcribe(samples, sample_rate=RATE)
    assert stream.finish().words == expected.words
