"""Waveforms to spectral features: log-mel filterbank, MFCC with deltas, log spectrogram.

Everything is batched and runs on the device of the model. A frame is centred on its hop, and what
lies before the first and after the last sample is zero, in a batch as alone; so an utterance's
features never depend on its neighbours. There is no flooring relative to a maximum (`top_db`),
which would tie an utterance to the loudest one in its batch.

Cost: one FFT per hop. Long recordings are taken in blocks, so memory beyond the features
themselves is bounded.

Sources: Davis and Mermelstein 1980 (MFCC); Furui 1986 (deltas); torchaudio for the mel filters
and the cosine basis, librosa as independent reference in tests/test_spectral.py.
"""

import warnings
from enum import StrEnum
from typing import Self

import torch
import torchaudio.functional as taf
from pydantic import Field, model_validator
from torch import Tensor, nn

from ctcasr.frontends.feature_stats import Normalisation
from ctcasr.settings import Section

_QUIETEST = 1e-4  # nothing quieter is brought up: it would be the converter's noise
_DELTA_FRAMES = 2  # to either side, of which a slope is taken
_BLOCK_FRAMES = 30_000  # five minutes at a 10 ms hop: about 60 MB of spectra at a time


class FrontendKind(StrEnum):
    """What a feature vector holds."""

    LOG_MEL = "log_mel"
    MFCC = "mfcc"
    SPECTROGRAM = "spectrogram"


class FrontendConfig(Section):
    """How a recording becomes features. Section `frontend` of a run's YAML file."""

    kind: FrontendKind = FrontendKind.LOG_MEL
    """`log_mel` filterbank, `mfcc` (cepstra), or log-power `spectrogram`."""

    sample_rate: int = Field(16_000, ge=4_000, le=192_000)
    """Samples per second that the model hears; every recording is resampled to it."""

    window_ms: float = Field(25.0, gt=0, le=200)
    """Length of the Hann window, in milliseconds."""

    hop_ms: float = Field(10.0, gt=0, le=100)
    """Time from one frame to the next, in milliseconds."""

    num_mels: int = Field(80, ge=8, le=256)
    """Mel filters, of `log_mel` and `mfcc`."""

    low_hz: float = Field(20.0, ge=0)
    """Lower edge of the lowest mel filter."""

    high_hz: float | None = Field(None, gt=0)
    """Upper edge of the highest mel filter; half the sample rate where not given."""

    num_ceps: int = Field(13, ge=2)
    """Cepstral coefficients of `mfcc`, the zeroth among them."""

    deltas: int = Field(2, ge=0, le=2)
    """How many orders of time derivatives `mfcc` appends."""

    level: bool = False
    """Bring each utterance to the same loudness (root mean square 1) before its features."""

    floor: float = Field(1e-8, gt=0)
    """Power below which the logarithm is cut off; full scale (or, with `level`, the utterance's
    mean power) is 1."""

    normalise: Normalisation = Normalisation.UTTERANCE
    """Zero mean and unit variance per coefficient: per `utterance`, by `training` statistics, or
    `none`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key, samples in (("window_ms", self.window), ("hop_ms", self.hop)):
            if samples < 1:
                raise ValueError(f"{key} {getattr(self, key):g} is less than one sample")
        if self.top_hz > self.sample_rate / 2:
            raise ValueError(f"high_hz {self.top_hz:g} is above half of sample_rate")
        if self.low_hz >= self.top_hz:
            raise ValueError(f"low_hz {self.low_hz:g} is not below {self.top_hz:g}, the upper edge")
        if self.num_ceps > self.num_mels:
            raise ValueError(f"num_ceps {self.num_ceps} is more than num_mels {self.num_mels}")
        if self.kind is not FrontendKind.SPECTROGRAM and not mel_filters(self).any(0).all():
            raise ValueError(
                f"num_mels {self.num_mels} are more than a window of {self.window} samples can "
                f"tell apart, so some would always be silent; lower it or raise window_ms"
            )
        return self

    @property
    def top_hz(self) -> float:
        """Upper edge of the highest mel filter."""
        return self.sample_rate / 2 if self.high_hz is None else self.high_hz

    @property
    def window(self) -> int:
        """Window length in samples."""
        return round(self.sample_rate * self.window_ms / 1000)

    @property
    def hop(self) -> int:
        """Hop in samples."""
        return round(self.sample_rate * self.hop_ms / 1000)

    @property
    def rate(self) -> float:
        """Samples for each unit of the axis, the second."""
        return float(self.sample_rate)

    @property
    def fft_size(self) -> int:
        """The power of two that holds a window."""
        return 1 << (self.window - 1).bit_length()

    @property
    def num_features(self) -> int:
        """F, the width of a frame."""
        match self.kind:
            case FrontendKind.LOG_MEL:
                return self.num_mels
            case FrontendKind.MFCC:
                return self.num_ceps * (1 + self.deltas)
            case FrontendKind.SPECTROGRAM:
                return self.fft_size // 2 + 1

    @property
    def look_back(self) -> int:
        """Samples before its hop's first that a frame depends on."""
        return self.fft_size // 2 - self._window_offset + self._delta_reach

    @property
    def look_ahead(self) -> int:
        """Samples after its hop's first that a frame depends on."""
        last = self._window_offset + self.window - 1 - self.fft_size // 2
        return last + self._delta_reach

    @property
    def _window_offset(self) -> int:
        """Where torch.stft puts the window into the transform."""
        return (self.fft_size - self.window) // 2

    @property
    def _delta_reach(self) -> int:
        """Samples to either side that the frames are apart of which deltas are made."""
        orders = self.deltas if self.kind is FrontendKind.MFCC else 0
        return orders * _DELTA_FRAMES * self.hop

    def num_frames(self, num_samples: int) -> int:
        """Return T for N samples at `sample_rate`: one frame per hop begun, none for none."""
        return 1 + (num_samples - 1) // self.hop if num_samples > 0 else 0


class SpectralFrontend(nn.Module):
    """Waveforms to features, without normalisation (see `feature_stats`).

    Shape:
        waveforms: (B, N) float32 in [-1, 1], zero where n >= lengths[b].
        lengths: (B,) int64 samples.
        returns: (B, T, F) float32, zero where t is beyond its length; (B,) int64 frames.
    """

    window: Tensor
    mel_filters: Tensor
    cosines: Tensor

    def __init__(self, config: FrontendConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("window", torch.hann_window(config.window), persistent=False)
        if config.kind is not FrontendKind.SPECTROGRAM:
            self.register_buffer("mel_filters", mel_filters(config), persistent=False)
        if config.kind is FrontendKind.MFCC:
            cosines = taf.create_dct(config.num_ceps, config.num_mels, norm="ortho")
            self.register_buffer("cosines", cosines, persistent=False)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features; see the class for shapes."""
        config = self.config
        level = loudness(waveforms, lengths)[:, None] if config.level else None
        num_frames = config.num_frames(waveforms.shape[1])
        frame_lengths = torch.where(lengths > 0, 1 + (lengths - 1) // config.hop, 0)
        blocks = [
            self._block(waveforms, level, first, min(num_frames, first + _BLOCK_FRAMES))
            for first in range(0, num_frames, _BLOCK_FRAMES)
        ]
        if not blocks:
            return waveforms.new_zeros(len(waveforms), 0, config.num_features), frame_lengths
        features = torch.cat(blocks, dim=1)
        if config.kind is FrontendKind.MFCC:
            features = append_deltas(features, frame_lengths, orders=config.deltas)
        steps = torch.arange(num_frames, device=features.device)
        return features * (steps < frame_lengths[:, None])[..., None], frame_lengths

    def _block(self, waveforms: Tensor, level: Tensor | None, first: int, last: int) -> Tensor:
        """Return frames first..last - 1 of (B, N) waveforms, over (B, 1), as (B, T, F).

        Before deltas. What lies beyond the waveforms is zero.
        """
        config = self.config
        half, num_samples = config.fft_size // 2, waveforms.shape[1]
        begin = first * config.hop - half
        end = (last - 1) * config.hop + config.fft_size - half
        samples = waveforms[:, max(begin, 0) : end]
        if level is not None:
            samples = samples / level
        samples = nn.functional.pad(samples, (max(-begin, 0), max(end - num_samples, 0)))
        spectrum = torch.stft(
            samples,
            n_fft=config.fft_size,
            hop_length=config.hop,
            win_length=config.window,
            window=self.window,
            center=False,
            return_complex=True,
        )  # (B, fft_size / 2 + 1, T)
        # Scaled by the window's sum of squares, so that `floor` means the same at every length.
        power = torch.addcmul(spectrum.real.square(), spectrum.imag, spectrum.imag)
        power = power.transpose(1, 2) / self.window.square().sum()
        if config.kind is FrontendKind.SPECTROGRAM:
            return power.clamp_min(config.floor).log()
        log_mel = (power @ self.mel_filters).clamp_min(config.floor).log()
        return log_mel if config.kind is FrontendKind.LOG_MEL else log_mel @ self.cosines


def loudness(waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Return (B,) root mean squares of (B, N) waveforms over their lengths, at least -80 dB."""
    power = waveforms.square().sum(1) / lengths.clamp_min(1)
    return power.sqrt().clamp_min(_QUIETEST)


def mel_filters(config: FrontendConfig) -> Tensor:
    """Return (fft_size / 2 + 1, num_mels) triangular filters on the HTK mel scale."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty filters, which FrontendConfig refuses
        filters: Tensor = taf.melscale_fbanks(
            n_freqs=config.fft_size // 2 + 1,
            f_min=config.low_hz,
            f_max=config.top_hz,
            n_mels=config.num_mels,
            sample_rate=config.sample_rate,
        )
    return filters


def append_deltas(
    features: Tensor, lengths: Tensor, *, orders: int, reach: int = _DELTA_FRAMES
) -> Tensor:
    """Append time derivatives, each a regression over 2 * reach + 1 frames.

    The first and last valid frame stand in for what lies beyond them, so an utterance's deltas
    stop at its own length.

    Shape:
        features: (B, T, F); lengths: (B,); returns (B, T, F * (1 + orders)).
    """
    parts = [features]
    steps = torch.arange(features.shape[1], device=features.device)
    last = (lengths - 1).clamp_min(0)[:, None]
    scale = 2 * sum(n * n for n in range(1, reach + 1))
    for _ in range(orders):
        slope = torch.zeros_like(features)
        for n in range(1, reach + 1):
            ahead = torch.minimum(steps + n, last)[..., None].expand_as(features)
            behind = (steps - n).clamp_min(0).expand(len(lengths), -1)
            behind = behind[..., None].expand_as(features)
            slope += n * (parts[-1].gather(1, ahead) - parts[-1].gather(1, behind))
        parts.append(slope / scale)
    return torch.cat(parts, dim=-1)
