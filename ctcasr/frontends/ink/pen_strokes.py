"""Pen strokes as a medium: what is kept is normalised ink, what is varied is its shape.

Ink is read and normalised once; each epoch distorts it anew and samples it at equal steps. A frame
of the signal is a point of that sampling.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ctcasr.frontends.feature_distortion import FeatureDistortion
from ctcasr.frontends.ink.augmentation import InkAugmentConfig, InkDistortion, draw_ink_distortion
from ctcasr.frontends.ink.features import (
    InkFrames,
    InkFrontendConfig,
    PreparedInk,
    ink_frames,
    prepare_ink,
)
from ctcasr.frontends.ink.files import read_ink
from ctcasr.frontends.ink.strokes import Ink
from ctcasr.frontends.medium import Medium, Signal
from ctcasr.manifest.utterance import Modality, Utterance


class PenStrokes(Medium[PreparedInk, InkDistortion]):
    """Ink: (N, F) frames along the pen's way."""

    modality = Modality.INK
    unit = "point"

    def __init__(self, frontend: InkFrontendConfig, augment: InkAugmentConfig) -> None:
        self._frontend = frontend
        self._augment = augment
        self.rate = frontend.rate

    def measure(self, utterance: Utterance) -> float:
        """Return the number of frames; all of the item is read for it."""
        return len(self.signal(self.load(utterance))) / self.rate

    def load(self, utterance: Utterance) -> PreparedInk:
        """Return normalised ink."""
        ink = read_ink(
            utterance.path, item=utterance.id, index=utterance.index, traces=utterance.traces
        )
        return self.prepare(ink, item=utterance.id)

    def prepare(self, ink: Ink, *, item: str) -> PreparedInk:
        """Return normalised ink; `item` is named in errors."""
        return prepare_ink(ink, self._frontend, item=item)

    def frames(self, loaded: PreparedInk) -> InkFrames:
        """Return the features, and which strokes and points they are of."""
        return ink_frames(loaded, self._frontend)

    def num_bytes(self, loaded: PreparedInk) -> int:
        """Return what points, times and their origin take."""
        return loaded.num_bytes

    def signal(self, loaded: PreparedInk) -> Signal:
        """Return (N, F) features."""
        return self.frames(loaded).features

    def is_empty(self, signal: Signal) -> bool:
        """Return whether there is no frame; ink that was read has one at least."""
        return len(signal) == 0

    def draw(self, *, seed: int, epoch: int, item: str) -> InkDistortion:
        """Draw slant, size, elastic shift and the rest."""
        return draw_ink_distortion(self._augment, seed=seed, epoch=epoch, item=item)

    def unhurried(self, drawn: InkDistortion) -> InkDistortion:
        """Return it at its own size, if it was to be smaller."""
        return replace(drawn, scale=max(drawn.scale, 1.0), stretch=max(drawn.stretch, 1.0))

    def planned_amount(
        self, amounts: Sequence[float], pauses_ms: Sequence[float], drawn: InkDistortion
    ) -> float:
        """Return frames at another size: the way grows with height and half as much with width."""
        return sum(amounts) * drawn.scale * (1 + drawn.stretch) / 2

    def make(
        self,
        parts: Sequence[PreparedInk],
        pauses_ms: Sequence[float],
        drawn: InkDistortion,
        *,
        suffices: Callable[[int], bool],
    ) -> Signal:
        """Return (N, F) features; where they are too few, those of the ink as it is."""
        (only,) = parts
        features = ink_frames(only, self._frontend, distortion=drawn).features
        return features if suffices(len(features)) else self.signal(only)

    def feature_distortion(
        self, drawn: Sequence[InkDistortion], lengths: Sequence[int]
    ) -> FeatureDistortion | None:
        """Return nothing: ink is varied before it becomes features."""
        return None
