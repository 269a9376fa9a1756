"""Dense batches of similar length: little padding, no packing.

An epoch's batches are planned from lengths alone, before any recording is read. Utterances are
sorted by length, cut into batches whose padded size stays under a budget of frames, and the
batches are shuffled.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from ctcasr.frontends.feature_distortion import FeatureDistortion

_LENGTH_JITTER = 0.02  # neighbours in the sorted order swap, so that batches differ by epoch


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded utterances.

    Attributes:
        ids: B utterance ids.
        signals: (B, N) or (B, N, F) float32; lengths: (B,) positions.
        labels: (B, U) int64; label_lengths: (B,).
        distortion: what to do to their features; None outside training.
        classes: (B,) int64, one label for each utterance; None where nothing asks for it.
        frame_classes: (B, T') int64, one for each frame of the encoder's output, -1 where there is
            no frame; None where nothing asks for it.
    """

    ids: tuple[str, ...]
    signals: Tensor
    lengths: Tensor
    labels: Tensor
    label_lengths: Tensor
    distortion: FeatureDistortion | None = None
    classes: Tensor | None = None
    frame_classes: Tensor | None = None

    def split(self, count: int) -> "list[Batch]":
        """Return `count` batches that hold every `count`-th utterance, without empty ones."""
        if count == 1 and self.ids:
            return [self]
        rows = [slice(first, None, count) for first in range(min(count, len(self.ids)))]
        names = [field.name for field in fields(self)]
        return [
            Batch(**{name: _rows_of(getattr(self, name), chosen) for name in names})
            for chosen in rows
        ]


def _rows_of(value: Any, rows: slice) -> Any:
    return None if value is None else value[rows]


def plan_batches(
    lengths: Sequence[int],
    *,
    max_frames: int,
    max_items: int | None = None,
    generator: np.random.Generator | None = None,
) -> list[list[int]]:
    """Return batches of indices into `lengths`, each of at most `max_frames` with its padding.

    An item longer than `max_frames` gets a batch of its own. With a generator the order is drawn;
    without one it is sorted, longest first, so that too large a batch fails at once.
    """
    sizes = np.asarray(lengths, dtype=np.float64)
    if generator is not None:
        sizes = sizes * generator.uniform(1 - _LENGTH_JITTER, 1 + _LENGTH_JITTER, len(sizes))
    batches: list[list[int]] = []
    longest = 0
    for index in np.argsort(-sizes, kind="stable").tolist():
        longest = max(longest, lengths[index])
        full = not batches or len(batches[-1]) == max_items
        if full or longest * (len(batches[-1]) + 1) > max_frames:
            batches.append([])
            longest = lengths[index]
        batches[-1].append(index)
    if generator is not None:
        generator.shuffle(batches)
    return batches


def pad_signals(signals: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Return right-padded signals, (B, N) or (B, N, F), and (B,) lengths."""
    return _pad(signals, dtype=np.float32)


def pad_labels(labels: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return (B, U) right-padded label ids and (B,) lengths."""
    return _pad(labels, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of an utterance, in seconds from its beginning, and the class of what it holds."""

    start: float
    end: float
    label: int


def classify_frames(
    stretches: Sequence[Stretch], num_frames: int, *, frame_s: float
) -> NDArray[np.int64]:
    """Return (T,) the class of what the middle of each frame lies in; 0 where that is nothing.

    Args:
        stretches: where two overlap, the later one counts.
        num_frames: T.
        frame_s: seconds from one frame to the next.
    """
    classes = np.zeros(num_frames, dtype=np.int64)
    middles = (np.arange(num_frames) + 0.5) * frame_s
    for one in stretches:
        classes[(one.start <= middles) & (middles < one.end)] = one.label
    return classes


def pad_classes(rows: Sequence[NDArray[np.int64]]) -> Tensor:
    """Return (B, T) classes of frames, -1 beyond each row's end."""
    padded = np.full((len(rows), max(map(len, rows), default=0)), -1, dtype=np.int64)
    for into, row in zip(padded, rows, strict=True):
        into[: len(row)] = row
    return torch.from_numpy(padded)


def stack_classes(classes: Sequence[int | None]) -> Tensor | None:
    """Return (B,) classes; None where not every utterance has one."""
    known = [one for one in classes if one is not None]
    return torch.tensor(known) if len(known) == len(classes) else None


def _pad(
    rows: Sequence[NDArray[np.float32] | Sequence[int]], *, dtype: DTypeLike
) -> tuple[Tensor, Tensor]:
    if len(rows) == 1 and isinstance(rows[0], np.ndarray) and rows[0].dtype == dtype:
        (only,) = rows  # hours of samples need not be held twice
        whole = torch.from_numpy(np.ascontiguousarray(only))[None]
        return whole, torch.tensor([len(only)])
    # By NumPy: a small copy costs torch several times as much, and it may start threads for it.
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    others = np.shape(rows[0])[1:] if rows else ()
    padded = np.zeros((len(rows), lengths.max(initial=0), *others), dtype=dtype)
    for into, row in zip(padded, rows, strict=True):
        into[: len(row)] = row
    return torch.from_numpy(padded), torch.from_numpy(lengths)
