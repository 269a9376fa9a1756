"""What differs between recordings, pen strokes and images of lines, seen by all that comes after.

A medium reads an item, varies it while training, and makes its signal, which is what a model's
frontend takes:

    recordings              samples (N,); the frontend makes frames of them, on the model's device
    pen strokes, images     frames (N, F) at once, made by the threads that read

Shape letters: **N** positions of a signal (samples or frames), **F** features. Amounts count in the
unit of the medium's axis, of which `rate` positions are one: seconds of audio at so many Hz, points
of ink, pixels of an image.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ctcasr.frontends.feature_distortion import FeatureDistortion
from ctcasr.manifest.utterance import Modality, Utterance

Loaded = TypeVar("Loaded")
Drawn = TypeVar("Drawn")

Signal = NDArray[np.float32]
"""(N,) or (N, F)."""


@dataclass(frozen=True, slots=True)
class Joining:
    """How utterances are put one after another.

    Attributes:
        most: so many at most.
        pause_ms: range of the pauses between them.
        longest: amount that none of the results exceeds.
    """

    most: int
    pause_ms: tuple[float, float]
    longest: float


class Medium(ABC, Generic[Loaded, Drawn]):
    """One modality with a frontend and an augmentation.

    Attributes:
        modality: which.
        unit: of its axis: "s", "point" or "px".
        rate: positions of a signal for each unit.
    """

    modality: ClassVar[Modality]
    unit: ClassVar[str]
    rate: float

    @property
    def joining(self) -> Joining | None:
        """How examples are joined; None where each is by itself."""
        return None

    @abstractmethod
    def measure(self, utterance: Utterance) -> float:
        """Return the amount of an item, reading as little of it as can be.

        Raises:
            ItemError: it cannot be used.
        """

    @abstractmethod
    def load(self, utterance: Utterance) -> Loaded:
        """Return an item as it is kept in memory.

        Raises:
            ItemError: it cannot be used.
        """

    @abstractmethod
    def num_bytes(self, loaded: Loaded) -> int:
        """Return what keeping an item takes."""

    @abstractmethod
    def signal(self, loaded: Loaded) -> Signal:
        """Return an item as it is."""

    @abstractmethod
    def is_empty(self, signal: Signal) -> bool:
        """Return whether there is nothing to recognize, so that the text is empty."""

    @abstractmethod
    def draw(self, *, seed: int, epoch: int, item: str) -> Drawn:
        """Draw what becomes of an item in an epoch; the key alone decides."""

    @abstractmethod
    def unhurried(self, drawn: Drawn) -> Drawn:
        """Return what was drawn without what makes the item shorter."""

    @abstractmethod
    def planned_amount(
        self, amounts: Sequence[float], pauses_ms: Sequence[float], drawn: Drawn
    ) -> float:
        """Return about how much an example will be, before anything is read."""

    @abstractmethod
    def make(
        self,
        parts: Sequence[Loaded],
        pauses_ms: Sequence[float],
        drawn: Drawn,
        *,
        suffices: Callable[[int], bool],
    ) -> Signal:
        """Return an example, joined and distorted.

        Args:
            parts: one item, or several where the medium joins.
            pauses_ms: between them.
            drawn: what becomes of them.
            suffices: whether N positions hold the labels; what was drawn may be softened for it.
        """

    def placements(
        self, amounts: Sequence[float], pauses_ms: Sequence[float], drawn: Drawn
    ) -> list[tuple[float, float]]:
        """Return where each part of an example comes to lie: its start, and how it is stretched."""
        del pauses_ms, drawn
        return [(0.0, 1.0) for _ in amounts]

    @abstractmethod
    def feature_distortion(
        self, drawn: Sequence[Drawn], lengths: Sequence[int]
    ) -> FeatureDistortion | None:
        """Return what is to be done to the features of a batch; `lengths` are those of signals."""
