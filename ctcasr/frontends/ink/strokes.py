"""Pen strokes: where the pen was, in order, and where it left the paper.

Shape letters: **N** points of an item. x grows to the right and y down, in whatever unit the device
had; nothing downstream depends on the unit. No torch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ctcasr.errors import InkError

MAX_COORDINATE = 1e7
"""Largest distance from the origin, in device units: no tablet or whiteboard has so many."""

MAX_POINTS = 1_000_000
"""Most points of one item: over an hour of writing at 200 points a second."""


@dataclass(frozen=True, slots=True, eq=False)
class Ink:
    """The strokes of one item. Made by `Ink.checked` or `Ink.from_strokes`, which refuse bad ones.

    Attributes:
        points: (N, 2) x and y, y down; at least one point.
        pen_up: (N,) True on the last point of each stroke, so also on the last of all.
        times: (N,) seconds, never falling; None where the device kept none.
        num_empty: strokes without points that were passed over when it was read.
    """

    points: NDArray[np.float64]
    pen_up: NDArray[np.bool_]
    times: NDArray[np.float64] | None = None
    num_empty: int = 0

    @classmethod
    def checked(
        cls,
        points: NDArray[np.float64],
        pen_up: NDArray[np.bool_],
        times: NDArray[np.float64] | None = None,
        *,
        item: str,
    ) -> "Ink":
        """Return ink after a look at its numbers; `item` is named in errors.

        A time before the one ahead of it is set to that one: clocks of devices stumble. The last
        point ends the last stroke.

        Raises:
            InkError: no points, too many, one that is not finite or out of range; no point for
                each time or pen state.
        """
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        if not len(points):
            raise InkError(f"{item}: no points; leave the item out or give it ink")
        if len(points) > MAX_POINTS:
            raise InkError(
                f"{item}: {len(points):,} points, at most {MAX_POINTS:,} can be read as one item; "
                "cut it into lines"
            )
        pen_up = np.array(pen_up, dtype=bool)
        for name, found in (("pen states", pen_up), ("times", times)):
            if found is not None and np.shape(found) != (len(points),):
                raise InkError(
                    f"{item}: {np.size(found)} {name} for {len(points)} points; each needs one"
                )
        sane = np.isfinite(points).all(axis=1) & (np.abs(points) <= MAX_COORDINATE).all(axis=1)
        if not sane.all():
            first = int(np.argmin(sane))
            x, y = points[first]
            raise InkError(
                f"{item}: point {first} is at ({x:g}, {y:g}); coordinates must be numbers within "
                f"{MAX_COORDINATE:,.0f} of the origin; mend or leave out the item"
            )
        if times is not None:
            times = np.asarray(times, dtype=np.float64)
            if not np.isfinite(times).all():
                raise InkError(
                    f"{item}: the time of point {int(np.argmin(np.isfinite(times)))} is no number; "
                    "mend it or leave all times out"
                )
            times = np.maximum.accumulate(times)
        pen_up[-1] = True
        return cls(points, pen_up, times)

    @classmethod
    def from_strokes(
        cls,
        strokes: Sequence[NDArray[np.float64]],
        times: Sequence[NDArray[np.float64]] | None = None,
        *,
        item: str,
    ) -> "Ink":
        """Return the ink of (n, 2) strokes in order; those without points are passed over, counted.

        Raises:
            InkError: see `checked`.
        """
        kept = [np.asarray(stroke, dtype=np.float64).reshape(-1, 2) for stroke in strokes]
        lengths = [len(stroke) for stroke in kept if len(stroke)]
        pen_up = np.zeros(sum(lengths), dtype=bool)
        pen_up[np.cumsum(lengths, dtype=np.int64) - 1] = True
        ink = cls.checked(
            np.concatenate(kept) if kept else np.empty((0, 2)),
            pen_up,
            None if times is None else np.concatenate([np.empty(0), *times]),
            item=item,
        )
        return replace(ink, num_empty=len(kept) - len(lengths))

    def __len__(self) -> int:
        return len(self.points)

    @property
    def num_strokes(self) -> int:
        """How often the pen went up."""
        return int(self.pen_up.sum())

    @property
    def stroke_ids(self) -> NDArray[np.int64]:
        """(N,) which stroke each point belongs to, from 0."""
        return np.cumsum(self.pen_up) - self.pen_up

    def stroke_spans(self) -> list[tuple[int, int]]:
        """Return the first point and the last + 1 of each stroke."""
        ends = (np.flatnonzero(self.pen_up) + 1).tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))

    def strokes(self) -> Iterator[NDArray[np.float64]]:
        """Yield the (n, 2) points of each stroke."""
        return (self.points[first:end] for first, end in self.stroke_spans())

    def moved(self, points: NDArray[np.float64]) -> "Ink":
        """Return the same strokes with each point elsewhere."""
        return replace(self, points=points)

    def take_strokes(self, chosen: NDArray[np.bool_]) -> "Ink":
        """Return the strokes for which (strokes,) `chosen` is True; at least one must be."""
        kept = np.asarray(chosen, dtype=bool)[self.stroke_ids]
        times = None if self.times is None else self.times[kept]
        return Ink(self.points[kept], self.pen_up[kept], times)
