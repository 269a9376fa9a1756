import numpy as np
import pytest

from ctcasr.errors import AudioError
from ctcasr.frontends.sound.recordings import load_utterance


def test_a_segment_is_read_at_the_rate_the_model_hears(make_utterance):
    time = np.arange(32_000) / 16_000
    samples = np.where(time < 1, 0, 0.5 * np.sin(2 * np.pi * 440 * time))
    utterance = make_utterance("a", samples, sample_rate=16_000, offset=1.0, duration=0.5)

    loaded = load_utterance(utterance, sample_rate=8_000)

    assert loaded.dtype == np.float32
    assert loaded.shape == (4_000,)
    wanted = 0.5 * np.sin(2 * np.pi * 440 * (1 + np.arange(4_000) / 8_000))
    np.testing.assert_allclose(loaded[100:-100], wanted[100:-100], atol=2e-3)


def test_the_chosen_channel_is_read(make_utterance):
    channels = np.stack([np.full(800, 0.25), np.full(800, -0.5)], axis=1)

    loaded = load_utterance(make_utterance("a", channels, channel=1), sample_rate=8_000)

    assert np.allclose(loaded, -0.5)


def test_channels_that_differ_are_never_mixed_in_silence(make_utterance):
    channels = np.random.default_rng(0).uniform(-0.5, 0.5, (800, 2))

    with pytest.raises(AudioError, match="channel"):
        load_utterance(make_utterance("a", channels), sample_rate=8_000)
