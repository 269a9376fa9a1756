"""Augmentation: other rooms, microphones, tempos and voices out of the recordings at hand.

Every random draw is keyed by (seed, epoch, utterance id) and made at once, in `draw_distortion`;
so the order of utterances, the number of loading workers and a resumed run never change what an
utterance becomes.

Sources: Ko et al. 2015 (speed perturbation); Park et al. 2019, arXiv:1904.08779 (SpecAugment, here
with many narrow time masks that grow with the utterance as in arXiv:1912.05533); Jaitly and
Hinton 2013 (vocal tract length perturbation, here as a warp of the mel axis); Timmer and Koenig
1995 (noise with a power-law spectrum).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from pydantic import Field

from ctcasr.frontends.draws import PositiveRange, Range, keyed_generator
from ctcasr.frontends.feature_distortion import FeatureDistortion
from ctcasr.frontends.sound.level import frame_levels
from ctcasr.settings import Section


class AugmentConfig(Section):
    """How recordings are varied while training. Section `augment` of a run's YAML file."""

    speed: PositiveRange = (0.9, 1.1)
    """Range of the playing speed; changes tempo and pitch together."""

    gain_db: Range = (-6.0, 6.0)
    """Range of the gain, in dB."""

    shift_ms: float = Field(20.0, ge=0)
    """Silence put before the recording, up to so much; moves the frame grid."""

    trim_probability: float = Field(0.0, ge=0, le=1)
    """Share of the utterances whose quiet edges are cut off, as by a speech detector that is too
    eager: with them goes the s of "six"."""

    trim_db: PositiveRange = (15.0, 40.0)
    """Range of what counts as quiet there: so many dB below the recording's loudest 10 ms."""

    noise_probability: float = Field(0.0, ge=0, le=1)
    """Share of the utterances that get noise."""

    noise_snr_db: Range = (5.0, 30.0)
    """Range of the signal-to-noise ratio of that noise, in dB."""

    narrowband_probability: float = Field(0.0, ge=0, le=1)
    """Share of the utterances that lose what lies above 4 kHz, as on a telephone line."""

    response_db: float = Field(0.0, ge=0)
    """Size of a random smooth frequency response, as of another microphone: its root mean square
    over the features, in dB."""

    warp: PositiveRange = (1.0, 1.0)
    """Range by which the mel axis is stretched, as by another length of vocal tract."""

    time_masks: int = Field(2, ge=0)
    """Spans of frames hidden in each utterance."""

    time_mask_ms: float = Field(200.0, ge=0)
    """Longest such span, in milliseconds; never more than a fifth of the utterance."""

    freq_masks: int = Field(2, ge=0)
    """Bands of features hidden in each utterance."""

    freq_mask_share: float = Field(0.25, ge=0, le=1)
    """Widest such band, as a share of the features."""

    join_items: int = Field(1, ge=1)
    """Up to so many utterances of one speaker are put one after another; 1 never joins."""

    join_pause_ms: Range = (0.0, 300.0)
    """Range of the pause between joined utterances."""

    join_seconds: float = Field(10.0, gt=0)
    """Nothing is joined that would make an utterance longer than this."""


NO_AUGMENTATION = AugmentConfig(
    speed=(1, 1), gain_db=(0, 0), shift_ms=0, time_masks=0, freq_masks=0
)
_LONGEST_MASK_SHARE = 0.2
_RESPONSE_ORDERS = 4
_TELEPHONE_RATE = 8_000


@dataclass(frozen=True, slots=True)
class Distortion:
    """All that was drawn for one utterance in one epoch; spans as shares of their axis."""

    speed: float
    gain_db: float
    shift_ms: float
    snr_db: float | None
    noise_exponent: float
    noise_seed: int
    narrowband: bool
    response_db: tuple[float, ...]
    warp: float
    time_masks: tuple[tuple[float, float], ...]
    freq_masks: tuple[tuple[float, float], ...]
    trim_db: float | None


def draw_distortion(config: AugmentConfig, *, seed: int, epoch: int, item: str) -> Distortion:
    """Draw everything for one utterance in one epoch."""
    generator = keyed_generator("augment", seed, epoch, item)
    uniform = generator.uniform

    def spans(count: int) -> tuple[tuple[float, float], ...]:
        return tuple((float(uniform()), float(uniform())) for _ in range(count))

    def rarely(probability: float, bounds: tuple[float, float]) -> float | None:
        return float(uniform(*bounds)) if uniform() < probability else None

    noisy = uniform() < config.noise_probability
    return Distortion(
        speed=float(uniform(*config.speed)),
        gain_db=float(uniform(*config.gain_db)),
        shift_ms=float(uniform(0, config.shift_ms)),
        snr_db=float(uniform(*config.noise_snr_db)) if noisy else None,
        noise_exponent=float(uniform(0, 2)),
        noise_seed=int(generator.integers(2**32)),
        narrowband=bool(uniform() < config.narrowband_probability),
        response_db=_draw_response(config.response_db, generator),
        warp=float(uniform(*config.warp)),
        time_masks=spans(config.time_masks),
        freq_masks=spans(config.freq_masks),
        trim_db=rarely(config.trim_probability, config.trim_db),
    )


def _draw_response(size_db: float, generator: np.random.Generator) -> tuple[float, ...]:
    """Return the weights of half-period, whole-period, ... cosines over the feature axis, in dB.

    They fall as 1 / order, so the response is smooth; together their expected power is `size_db`
    squared.
    """
    falling = 1 / np.arange(1, _RESPONSE_ORDERS + 1)
    falling *= math.sqrt(2 / np.square(falling).sum())  # a cosine of weight w has power w^2 / 2
    drawn = generator.standard_normal(_RESPONSE_ORDERS) * falling * size_db
    return tuple(float(weight) for weight in drawn)


def distort_waveform(
    samples: NDArray[np.float32], distortion: Distortion, *, sample_rate: int
) -> NDArray[np.float32]:
    """Return (N',) samples at another speed, with noise, gain and a shift, as drawn."""
    if distortion.speed != 1 and len(samples):
        # Read as if recorded at `speed` times the rate: tempo and pitch rise together.
        samples = soxr.resample(samples, distortion.speed * sample_rate, sample_rate, quality="LQ")
    if distortion.narrowband and sample_rate > _TELEPHONE_RATE and len(samples):
        narrow = soxr.resample(samples, sample_rate, _TELEPHONE_RATE, quality="LQ")
        samples = soxr.resample(narrow, _TELEPHONE_RATE, sample_rate, quality="LQ")
    if distortion.snr_db is not None and len(samples):
        noise = power_law_noise(len(samples), distortion.noise_exponent, seed=distortion.noise_seed)
        level = np.sqrt(np.mean(np.square(samples))) * 10 ** (-distortion.snr_db / 20)
        samples = samples + noise * level
    samples = samples * 10 ** (distortion.gain_db / 20)
    lead = np.zeros(round(distortion.shift_ms * sample_rate / 1000), dtype=np.float32)
    return np.concatenate([lead, samples]).astype(np.float32, copy=False)


def power_law_noise(num_samples: int, exponent: float, *, seed: int) -> NDArray[np.float32]:
    """Return (N,) noise of unit power whose spectrum falls as frequency ** -exponent.

    Exponent 0 is white, 1 pink, 2 brown.
    """
    generator = np.random.default_rng(seed)
    # A length that the FFT likes; the surplus is cut off.
    size = 1 << max(num_samples - 1, 1).bit_length()
    spectrum = generator.standard_normal(size // 2 + 1, dtype=np.float32) * np.exp(
        2j * np.pi * generator.random(size // 2 + 1, dtype=np.float32)
    )
    bins = np.arange(size // 2 + 1, dtype=np.float32)
    # Below a 500th of the band the slope ends, else brown noise is all rumble.
    shape = np.maximum(bins, size / 1000) ** (-exponent / 2)
    shape[0] = 0  # no constant offset
    noise = np.fft.irfft(spectrum * shape, n=size)[:num_samples]
    power = np.sqrt(np.mean(np.square(noise))) if num_samples else 1.0
    return (noise / max(power, 1e-12)).astype(np.float32)


def trim_edges(
    samples: NDArray[np.float32], *, below_db: float, sample_rate: int
) -> NDArray[np.float32]:
    """Return (N',) samples without what is quiet at either end; what is quiet inside stays.

    Args:
        samples: (N,)
        below_db: dB below the loudest 10 ms at which a recording counts as quiet.
        sample_rate: in Hz.
    """
    hop = max(1, sample_rate // 100)
    levels = frame_levels(samples, hop=hop, window=hop)
    if not len(levels):
        return samples
    loud = np.flatnonzero(levels >= levels.max() - below_db)
    return samples[loud[0] * hop : (loud[-1] + 1) * hop]


def join_waveforms(
    parts: Sequence[NDArray[np.float32]], pauses_ms: Sequence[float], *, sample_rate: int, seed: int
) -> NDArray[np.float32]:
    """Put recordings one after another; a pause holds noise as quiet as its quietest neighbour.

    `pauses_ms` has one entry fewer than `parts`. Digital silence would tell a recognizer where
    the joints are.
    """
    generator = np.random.default_rng(seed)
    level = min((_quietest_level(part, sample_rate) for part in parts), default=0.0)
    joined: list[NDArray[np.float32]] = [parts[0]]
    for part, pause_ms in zip(parts[1:], pauses_ms, strict=True):
        size = _pause_size(pause_ms, sample_rate)
        joined.append(generator.standard_normal(size, dtype=np.float32) * np.float32(level))
        joined.append(part)
    return np.concatenate(joined)


def part_spans(
    lengths: Sequence[int], pauses_ms: Sequence[float], *, sample_rate: int
) -> list[tuple[int, int]]:
    """Return where `join_waveforms` puts each part, as samples [start, end)."""
    spans = []
    start = 0
    for length, pause_ms in zip(lengths, [*pauses_ms, 0.0], strict=True):
        spans.append((start, start + length))
        start += length + _pause_size(pause_ms, sample_rate)
    return spans


def _pause_size(pause_ms: float, sample_rate: int) -> int:
    return round(pause_ms * sample_rate / 1000)


def _quietest_level(samples: NDArray[np.float32], sample_rate: int) -> float:
    """Return the root mean square of the quietest 20 ms."""
    size = max(1, sample_rate // 50)
    whole = len(samples) // size * size
    if not whole:
        return 0.0
    return float(np.sqrt(np.mean(np.square(samples[:whole].reshape(-1, size)), axis=1)).min())


def batch_distortions(
    config: AugmentConfig,
    distortions: Sequence[Distortion],
    num_frames: Sequence[int],
    *,
    num_features: int,
    hop_ms: float,
) -> FeatureDistortion:
    """Turn what was drawn per utterance into spans of frames and features."""
    time_masks = [
        [
            _span(at, width, total, min(config.time_mask_ms / hop_ms, _LONGEST_MASK_SHARE * total))
            for at, width in distortion.time_masks
        ]
        for distortion, total in zip(distortions, num_frames, strict=True)
    ]
    freq_masks = [
        [
            _span(at, width, num_features, config.freq_mask_share * num_features)
            for at, width in distortion.freq_masks
        ]
        for distortion in distortions
    ]
    decibels_to_nats = math.log(10) / 10
    return FeatureDistortion(
        response=torch.tensor([d.response_db for d in distortions]) * decibels_to_nats,
        warp=torch.tensor([d.warp for d in distortions], dtype=torch.float32),
        time_masks=torch.tensor(time_masks, dtype=torch.int64).reshape(len(distortions), -1, 2),
        freq_masks=torch.tensor(freq_masks, dtype=torch.int64).reshape(len(distortions), -1, 2),
    )


def _span(at: float, width: float, total: int, widest: float) -> tuple[int, int]:
    """Return the span that two shares in [0, 1) choose: 0 to `widest` long, inside `total`."""
    size = int(width * (int(widest) + 1))
    first = int(at * (total - size + 1))
    return first, first + size
