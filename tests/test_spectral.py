"""librosa is the independent reference: other filters, another FFT, another cosine transform."""

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ctcasr.frontends.sound import spectral
from ctcasr.frontends.sound.spectral import (
    FrontendConfig,
    FrontendKind,
    SpectralFrontend,
    append_deltas,
    loudness,
)

RATES = [8_000, 16_000, 22_050]


def clip(num_samples: int, *, seed: int = 0, gain: float = 0.1):
    """Noise with a tone that comes and goes."""
    time = np.arange(num_samples)
    noise = np.random.default_rng(seed).standard_normal(num_samples)
    tone = np.sin(time * 0.3) * (1 + np.sin(time * 0.003))
    return (gain * (tone + 0.1 * noise)).astype(np.float32)


def pad(*clips):
    """(B, N) and lengths."""
    lengths = torch.tensor([len(samples) for samples in clips])
    waveforms = torch.zeros(len(clips), int(lengths.max()))
    for row, samples in zip(waveforms, clips, strict=True):
        row[: len(samples)] = torch.from_numpy(samples)
    return waveforms, lengths


def features_of(config: FrontendConfig, *clips):
    """The valid frames of each clip of one batch."""
    features, lengths = SpectralFrontend(config)(*pad(*clips))
    return [row[:length].numpy() for row, length in zip(features, lengths, strict=True)]


def reference_power(config: FrontendConfig, samples):
    """librosa's power spectrogram, (T, fft_size / 2 + 1), scaled as ours is."""
    window = librosa.filters.get_window("hann", config.window)
    spectrum = librosa.stft(
        np.pad(samples.astype(np.float64), config.fft_size // 2),
        n_fft=config.fft_size,
        hop_length=config.hop,
        win_length=config.window,
        center=False,
    )
    power = np.abs(spectrum.T) ** 2 / np.square(window).sum()
    return power[: config.num_frames(len(samples))]


def reference_log_mel(config: FrontendConfig, samples):
    filters = librosa.filters.mel(
        sr=config.sample_rate,
        n_fft=config.fft_size,
        n_mels=config.num_mels,
        fmin=config.low_hz,
        fmax=config.high_hz,
        htk=True,
        norm=None,
        dtype=np.float64,
    )
    return np.log(np.maximum(reference_power(config, samples) @ filters.T, config.floor))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("num_samples", [1, 700, 8_001])
def test_spectrogram_is_librosas(rate, num_samples):
    config = FrontendConfig(kind=FrontendKind.SPECTROGRAM, sample_rate=rate)
    samples = clip(num_samples)

    (features,) = features_of(config, samples)

    wanted = np.log(np.maximum(reference_power(config, samples), config.floor))
    assert features.shape == (config.num_frames(num_samples), config.num_features)
    np.testing.assert_allclose(features, wanted, atol=2e-3)
    np.testing.assert_allclose(np.exp(features), np.exp(wanted), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("high_hz", [None, 3_500.0])
def test_log_mel_is_librosas(rate, high_hz):
    config = FrontendConfig(sample_rate=rate, num_mels=40, high_hz=high_hz)
    samples = clip(9_000)

    (features,) = features_of(config, samples)

    np.testing.assert_allclose(features, reference_log_mel(config, samples), atol=5e-4)


@pytest.mark.parametrize("rate", RATES)
def test_mfcc_is_librosas(rate):
    config = FrontendConfig(kind=FrontendKind.MFCC, sample_rate=rate, num_mels=40, deltas=0)
    samples = clip(9_000)

    (features,) = features_of(config, samples)

    wanted = librosa.feature.mfcc(
        S=reference_log_mel(config, samples).T, n_mfcc=13, dct_type=2, norm="ortho"
    ).T
    np.testing.assert_allclose(features, wanted, atol=2e-3)


@pytest.mark.parametrize("lengths", [(60, 17, 5)])
def test_deltas_are_librosas_for_each_utterance_alone(lengths):
    torch.manual_seed(0)
    features = torch.randn(len(lengths), max(lengths), 4, dtype=torch.float64)
    sizes = torch.tensor(lengths)

    with_deltas = append_deltas(features, sizes, orders=2)

    for row, source, length in zip(with_deltas, features, lengths, strict=True):
        alone = source[:length].numpy().T
        # librosa's second order is a parabola's; ours, as in HTK, is the slope of slopes.
        slope = librosa.feature.delta(alone, width=5, mode="nearest")
        slope_of_slope = librosa.feature.delta(slope, width=5, mode="nearest")
        wanted = np.concatenate([alone, slope, slope_of_slope]).T
        np.testing.assert_allclose(row[:length].numpy(), wanted, atol=1e-12)


def test_deltas_of_a_straight_line_are_its_slope():
    line = torch.arange(10.0)[None, :, None] * 3

    deltas = append_deltas(line, torch.tensor([10]), orders=2)[0]

    assert deltas[2:-2, 1].tolist() == [3] * 6
    assert deltas[4:-4, 2].tolist() == [0] * 2


@pytest.mark.parametrize("kind", FrontendKind)
@pytest.mark.parametrize("level", [False, True])
def test_a_quiet_clip_beside_a_long_loud_one_is_as_alone(kind, level):
    config = FrontendConfig(kind=kind, sample_rate=8_000, num_mels=40, level=level)
    quiet, loud = clip(3_333, gain=1e-3), clip(20_000, seed=1, gain=0.9)

    (alone,) = features_of(config, quiet)
    together, _ = features_of(config, quiet, loud)

    np.testing.assert_allclose(together, alone, rtol=0, atol=2e-4)


@pytest.mark.parametrize("kind", FrontendKind)
def test_features_beyond_a_length_are_zero(kind):
    config = FrontendConfig(kind=kind, sample_rate=8_000, num_mels=40)

    features, lengths = SpectralFrontend(config)(*pad(clip(4_000), clip(801), clip(0)))

    assert lengths.tolist() == [50, 11, 0]
    assert features[1, :11].abs().sum(-1).all()
    assert not features[1, 11:].any()
    assert not features[2].any()


@pytest.mark.parametrize("kind", FrontendKind)
def test_blocks_give_the_same_as_the_whole(kind, monkeypatch):
    config = FrontendConfig(kind=kind, sample_rate=8_000, num_mels=40)
    samples = clip(8_123)
    (whole,) = features_of(config, samples)

    monkeypatch.setattr(spectral, "_BLOCK_FRAMES", 7)

    (in_blocks,) = features_of(config, samples)
    np.testing.assert_allclose(in_blocks, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("num_samples", "frames"), [(0, 0), (1, 1), (80, 1), (81, 2), (160, 2)])
def test_a_frame_stands_for_every_hop_begun(num_samples, frames):
    config = FrontendConfig(sample_rate=8_000, num_mels=40)

    features, lengths = SpectralFrontend(config)(*pad(clip(num_samples)))

    assert config.num_frames(num_samples) == frames
    assert lengths.tolist() == [frames]
    assert features.shape == (1, frames, 40)


@given(num_samples=st.integers(0, 3_000), hop_ms=st.sampled_from([1.0, 5.0, 8.3, 10.0]))
def test_promised_frames_are_the_frames_there_are(num_samples, hop_ms):
    config = FrontendConfig(sample_rate=8_000, num_mels=20, hop_ms=hop_ms)

    features, lengths = SpectralFrontend(config)(*pad(clip(num_samples)))

    assert features.shape[1] == int(lengths[0]) == config.num_frames(num_samples)


@pytest.mark.parametrize("kind", FrontendKind)
def test_digital_silence_is_finite(kind):
    config = FrontendConfig(kind=kind, sample_rate=8_000, num_mels=40)

    (features,) = features_of(config, np.zeros(4_000, dtype=np.float32))

    assert np.isfinite(features).all()


def test_levelled_features_do_not_know_the_gain():
    config = FrontendConfig(sample_rate=8_000, num_mels=40, level=True)
    samples = clip(4_000)

    (loud,), (quiet,) = features_of(config, samples), features_of(config, samples * 0.02)

    np.testing.assert_allclose(loud, quiet, rtol=0, atol=1e-4)


def test_loudness_is_the_root_mean_square_of_the_valid_samples():
    waveforms, lengths = pad(np.full(6, 0.5, np.float32), np.full(3, -0.25, np.float32))

    assert loudness(waveforms, lengths).tolist() == [0.5, 0.25]
    assert loudness(torch.zeros(1, 4), torch.tensor([4])).item() == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hop_ms": 0.1, "sample_rate": 4_000}, "hop_ms 0.1 is less than one sample"),
        ({"window_ms": 0.01}, "window_ms 0.01 is less than one sample"),
        ({"high_hz": 9_000.0}, "high_hz 9000 is above half of sample_rate"),
        ({"low_hz": 8_000.0}, "low_hz 8000 is not below 8000, the upper edge"),
        ({"num_mels": 8}, "num_ceps 13 is more than num_mels 8"),
        ({"num_mels": 128}, "num_mels 128 are more than a window of 400 samples can tell apart"),
    ],
)
def test_settings_that_cannot_be_are_named(values, message):
    with pytest.raises(ValidationError, match=message):
        FrontendConfig(**values)
