"""Where in an item its words lie: seconds of a recording, points and strokes of ink, pixels.

A CTC network gives a label for a frame or two, somewhere inside what stands for it; words reach
further than from the first to the last of these spikes. In recordings they reach as far as there is
sound (`decoding.word_boundaries`); in ink to the widest gap between the strokes of two words; in
images to the middle of the widest stretch without ink.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ctcasr.decoding import Word
from ctcasr.decoding.word_boundaries import find_word_spans
from ctcasr.frontends.image.features import ImageFrames, ImageFrontendConfig
from ctcasr.frontends.ink.features import InkFrames
from ctcasr.frontends.media import Frontend
from ctcasr.frontends.sound.level import frame_levels
from ctcasr.frontends.sound.spectral import FrontendConfig
from ctcasr.items import Item
from ctcasr.transcript import TimedWord

_SPECKS = 0.5  # pixels' worth of ink in a column that is still a gap


class Places(ABC):
    """Positions of a model's frames in items of one modality.

    Args:
        stride: feature frames for each frame of the encoder's output.
    """

    unit: ClassVar[str]

    def __init__(self, stride: int) -> None:
        self.stride = stride

    @abstractmethod
    def extent(self, item: Item) -> float:
        """Return how long an item is."""

    @abstractmethod
    def interval(self, item: Item, span: tuple[int, int]) -> tuple[float, float]:
        """Return feature frames [first, last + 1) as positions from the file's beginning."""

    @abstractmethod
    def words(self, item: Item, words: Sequence[Word]) -> tuple[TimedWord, ...]:
        """Return words where they begin and end; theirs are frames of the encoder's output."""

    def output_interval(self, item: Item, span: tuple[int, int]) -> tuple[float, float]:
        """Return frames of the encoder's output as positions."""
        return self.interval(item, (span[0] * self.stride, span[1] * self.stride))


def make_places(frontend: Frontend, stride: int) -> Places:
    """Return the places of the modality that a frontend is for."""
    if isinstance(frontend, FrontendConfig):
        return SecondsOfSound(frontend, stride)
    if isinstance(frontend, ImageFrontendConfig):
        return PixelsOfLine(stride)
    return PointsOfInk(stride)


class SecondsOfSound(Places):
    """Recordings: seconds."""

    unit = "s"

    def __init__(self, frontend: FrontendConfig, stride: int) -> None:
        super().__init__(stride)
        self._frontend = frontend

    def extent(self, item: Item) -> float:
        """Return seconds."""
        return len(item.signal) / self._frontend.sample_rate

    def interval(self, item: Item, span: tuple[int, int]) -> tuple[float, float]:
        """Return seconds from the file's beginning."""
        hop, rate = self._frontend.hop, self._frontend.sample_rate
        start, end = (min(frame * hop, len(item.signal)) for frame in span)
        return item.offset + start / rate, item.offset + end / rate

    def words(self, item: Item, words: Sequence[Word]) -> tuple[TimedWord, ...]:
        """Return words whose spikes are widened to where sound begins and ends."""
        frontend, stride = self._frontend, self.stride
        levels = frame_levels(
            item.signal, hop=frontend.hop, window=max(frontend.window, frontend.hop)
        )
        spikes = [(word.start * stride, min(word.end * stride, len(levels))) for word in words]
        spans = find_word_spans(spikes, levels, frame_s=frontend.hop / frontend.sample_rate)
        return tuple(
            TimedWord(word.text, *self.interval(item, span), word.confidence)
            for word, span in zip(words, spans, strict=True)
        )


class PointsOfInk(Places):
    """Pen strokes: points of the ink as it was read, and the strokes a word is written with."""

    unit = "point"

    def extent(self, item: Item) -> float:
        """Return the number of points."""
        return float(len(item.ink)) if item.ink is not None else 0.0

    def interval(self, item: Item, span: tuple[int, int]) -> tuple[float, float]:
        """Return the first point of the frames, and the last + 1."""
        points = _frames(item).points
        if not len(points):
            return 0.0, 0.0
        first, last = (min(max(frame, 0), len(points) - 1) for frame in (span[0], span[1] - 1))
        return float(points[first]), float(points[last] + 1)

    def words(self, item: Item, words: Sequence[Word]) -> tuple[TimedWord, ...]:
        """Return words that divide the strokes among them at the widest gaps between."""
        if not words:
            return ()
        frames = _frames(item)
        spikes = [(word.start * self.stride, word.end * self.stride) for word in words]
        inner = [
            _widest_gap(frames, before[1] - 1, after[0])
            for before, after in itertools.pairwise(spikes)
        ]
        edges = [0, *inner, len(frames.features)]
        return tuple(
            TimedWord(
                word.text,
                *self.interval(item, (first, end)),
                word.confidence,
                strokes=tuple(np.unique(frames.strokes[first:end]).tolist()),
            )
            for word, (first, end) in zip(words, itertools.pairwise(edges), strict=True)
        )


class PixelsOfLine(Places):
    """Images of lines: pixels from the left edge of the image that a line was cut out of.

    Of what is written from right to left, words start right of where they end.
    """

    unit = "px"

    def extent(self, item: Item) -> float:
        """Return the width of the line."""
        return float(item.image.width) if item.image is not None else 0.0

    def interval(self, item: Item, span: tuple[int, int]) -> tuple[float, float]:
        """Return where the frames begin and end, in the order of reading."""
        columns = _columns(item).columns
        num_frames = len(columns)
        if not num_frames:
            return 0.0, 0.0
        edges = np.interp([*span], np.arange(num_frames) + 0.5, columns)
        return float(edges[0]), float(edges[1])

    def words(self, item: Item, words: Sequence[Word]) -> tuple[TimedWord, ...]:
        """Return words that divide the line among them at the widest gaps between."""
        if not words:
            return ()
        ink = _columns(item).ink.sum(axis=1)
        spikes = [(word.start * self.stride, word.end * self.stride) for word in words]
        inner = [
            _middle_of_gap(ink, before[1] - 1, after[0])
            for before, after in itertools.pairwise(spikes)
        ]
        edges = [0, *inner, len(ink)]
        return tuple(
            self._word(item, word, span)
            for word, span in zip(words, itertools.pairwise(edges), strict=True)
        )

    def _word(self, item: Item, word: Word, span: tuple[int, int]) -> TimedWord:
        start, end = self.interval(item, span)
        left, right = sorted((start, end))
        top = item.image.top if item.image is not None else 0
        bottom = top + (item.image.height if item.image is not None else 0)
        box = ((left, top), (right, top), (right, bottom), (left, bottom))
        return TimedWord(word.text, start, end, word.confidence, polygon=box)


def _columns(item: Item) -> ImageFrames:
    assert item.columns is not None, "an item of an image knows its columns"
    return item.columns


def _middle_of_gap(ink: NDArray[np.float32], first: int, last: int) -> int:
    """Return the middle of the longest run of frames in [first, last] with the least ink."""
    last = min(max(last, first + 1), len(ink) - 1)
    first = min(first, last)
    here = ink[first : last + 1]
    empty = here <= here.min() + _SPECKS
    edges = np.flatnonzero(np.diff(empty, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return first + int(starts[longest] + ends[longest]) // 2


def _frames(item: Item) -> InkFrames:
    assert item.frames is not None, "an item of pen strokes knows its frames"
    return item.frames


def _widest_gap(frames: InkFrames, first: int, last: int) -> int:
    """Return the frame in (first, last] before which the pen moved furthest right in the air.

    The middle, where it stayed on the paper.
    """
    ink = frames.sampled
    last = min(max(last, first + 1), len(ink) - 1)
    here = np.arange(first + 1, last + 1)
    here = here[ink.pen_up[here - 1]]
    if not len(here):
        return (first + last + 1) // 2
    moves = ink.points[here, 0] - ink.points[here - 1, 0]
    return int(here[np.argmax(moves)])
