"""Recordings as a medium: what is read, joined and distorted are samples."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ctcasr.frontends.feature_distortion import FeatureDistortion
from ctcasr.frontends.medium import Joining, Medium, Signal
from ctcasr.frontends.sound.augmentation import (
    AugmentConfig,
    Distortion,
    batch_distortions,
    distort_waveform,
    draw_distortion,
    join_waveforms,
    part_spans,
    trim_edges,
)
from ctcasr.frontends.sound.level import is_silent
from ctcasr.frontends.sound.spectral import FrontendConfig
from ctcasr.frontends.sound.waveform import (
    AudioInfo,
    probe_audio,
    read_audio,
    resample,
    resampled_length,
    segment_frames,
    select_channel,
)
from ctcasr.manifest.utterance import Modality, Utterance


def load_utterance(utterance: Utterance, *, sample_rate: int) -> NDArray[np.float32]:
    """Return (N,) float32 samples in [-1, 1] at `sample_rate`.

    Raises:
        AudioError: the file cannot be read, or its channels differ and none is chosen.
    """
    samples, rate = read_audio(utterance.path, offset=utterance.offset, duration=utterance.duration)
    chosen = select_channel(samples, channel=utterance.channel, item=utterance.id)
    return resample(chosen, from_rate=rate, to_rate=sample_rate)


class Recordings(Medium[NDArray[np.float32], Distortion]):
    """Sound: (N,) samples at the rate the model hears."""

    modality = Modality.AUDIO
    unit = "s"

    def __init__(self, frontend: FrontendConfig, augment: AugmentConfig) -> None:
        self._frontend = frontend
        self._augment = augment
        self.rate = frontend.sample_rate

    @property
    def joining(self) -> Joining | None:
        """How utterances of one speaker are joined, where they are."""
        augment = self._augment
        if augment.join_items < 2:
            return None
        return Joining(augment.join_items, augment.join_pause_ms, augment.join_seconds)

    def measure(self, utterance: Utterance) -> float:
        """Return seconds at the model's rate, from the header.

        Only a file of several channels without a `channel` is read, because a header does not say
        whether they differ.
        """
        info = probe_audio(utterance.path)
        first, last = segment_frames(
            info, offset=utterance.offset, duration=utterance.duration, name=str(utterance.path)
        )
        _require_channel(utterance, info)
        rate = self._frontend.sample_rate
        return resampled_length(last - first, from_rate=info.rate, to_rate=rate) / rate

    def load(self, utterance: Utterance) -> NDArray[np.float32]:
        """Return (N,) samples."""
        return load_utterance(utterance, sample_rate=self._frontend.sample_rate)

    def num_bytes(self, loaded: NDArray[np.float32]) -> int:
        """Return four for each sample."""
        return loaded.nbytes

    def signal(self, loaded: NDArray[np.float32]) -> Signal:
        """Return the samples."""
        return loaded

    def is_empty(self, signal: Signal) -> bool:
        """Return whether it is digital silence, which no model has heard while it learned."""
        return is_silent(signal)

    def draw(self, *, seed: int, epoch: int, item: str) -> Distortion:
        """Draw speed, noise, masks and the rest."""
        return draw_distortion(self._augment, seed=seed, epoch=epoch, item=item)

    def unhurried(self, drawn: Distortion) -> Distortion:
        """Return it at its own speed, if it was to be faster."""
        return replace(drawn, speed=min(drawn.speed, 1.0))

    def planned_amount(
        self, amounts: Sequence[float], pauses_ms: Sequence[float], drawn: Distortion
    ) -> float:
        """Return seconds with pauses, at another speed, after a shift."""
        joined = sum(amounts) + sum(pauses_ms) / 1000
        return joined / drawn.speed + drawn.shift_ms / 1000

    def make(
        self,
        parts: Sequence[NDArray[np.float32]],
        pauses_ms: Sequence[float],
        drawn: Distortion,
        *,
        suffices: Callable[[int], bool],
    ) -> Signal:
        """Return samples; where too little is left of them, quiet edges are not cut off."""
        rate = self._frontend.sample_rate

        def distort(parts: Sequence[NDArray[np.float32]]) -> Signal:
            joined = join_waveforms(parts, pauses_ms, sample_rate=rate, seed=drawn.noise_seed)
            return distort_waveform(joined, drawn, sample_rate=rate)

        if drawn.trim_db is not None:
            trimmed = [trim_edges(p, below_db=drawn.trim_db, sample_rate=rate) for p in parts]
            example = distort(trimmed)
            if suffices(len(example)):
                return example
        return distort(parts)

    def placements(
        self, amounts: Sequence[float], pauses_ms: Sequence[float], drawn: Distortion
    ) -> list[tuple[float, float]]:
        """Return when each part begins, in seconds, and how its times are stretched."""
        rate = self._frontend.sample_rate
        sizes = [round(seconds * rate) for seconds in amounts]
        spans = part_spans(sizes, pauses_ms, sample_rate=rate)
        shift = drawn.shift_ms / 1000
        return [(first / rate / drawn.speed + shift, 1 / drawn.speed) for first, _ in spans]

    def feature_distortion(
        self, drawn: Sequence[Distortion], lengths: Sequence[int]
    ) -> FeatureDistortion:
        """Return responses, warps and masks of a batch."""
        frontend = self._frontend
        return batch_distortions(
            self._augment,
            drawn,
            [frontend.num_frames(length) for length in lengths],
            num_features=frontend.num_features,
            hop_ms=frontend.hop_ms,
        )


def _require_channel(utterance: Utterance, info: AudioInfo) -> None:
    if utterance.channel is None and info.channels == 1:
        return
    samples, _ = read_audio(utterance.path, offset=utterance.offset, duration=utterance.duration)
    select_channel(samples, channel=utterance.channel, item=str(utterance.path))
