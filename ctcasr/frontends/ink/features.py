"""Pen strokes to features: ink -> (T, F) float32, one frame per step along the pen's way.

Ink is normalised, sampled anew at equal steps within each stroke (both ends of a stroke always
among them; a dot is one frame), and each frame described by one of two sets of features.

`offsets`: the way from the frame before, where it ends, and what the pen does there.

    dx, dy      from the frame before, also across the air, in x-heights
    height      y below the baseline, so negative above it
    elapsed     seconds since the frame before, as log(1 + s); absent unless `use_times`
    pen_down, pen_up    1 on the first and the last frame of a stroke

`graves`: the 25 features of the sources. Their numbers, in brackets, are those of Graves et al.
The vicinity of a frame are the 3 frames before and after it, whatever stroke they belong to, cut
off at the ends of the item; u and v stand for its first and last frame.

    pen_up (1)          as above
    hat (2)             1 where a delayed stroke (a dot or bar set later) is above or below; the
                        sources take such strokes out as well, here they stay
    speed (3)           x-heights per second, as log(1 + v); without times, per point of the device
    x (4)               less its mean over 31 frames
    y (5)               below the baseline
    heading_cos, heading_sin (6, 7)         of the way to the next frame (at the end: from the last)
    curvature_cos, curvature_sin (8, 9)     of the turn between the way here and the way on
    vicinity_aspect (10)                    (height - width) / (height + width)
    vicinity_slope_cos, vicinity_slope_sin (11, 12)     of the line from u to v
    vicinity_curliness (13)                 the way from u to v over the larger of height and width
    vicinity_linearity (14)                 mean squared distance from the line through u and v
    ascenders, descenders (15, 16)          frames within half an x-height to either side that lie
                                            above the small letters, below the baseline
    context_00 ... context_22 (17 to 25)    frames in each cell of a 3 x 3 map about the frame, row
                                            by row from the top; a cell is half an x-height wide

Counts are log(1 + n). With steps that leave out "size", an x-height is a unit of the device.

Sources: Graves et al. 2009, IEEE PAMI 31(5), section 3.1, "online data"; Liwicki and Bunke 2006,
"HMM-based on-line recognition of handwritten whiteboard notes", section 3.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ctcasr.errors import InkError
from ctcasr.frontends.feature_stats import Normalisation
from ctcasr.frontends.framed import FramedConfig
from ctcasr.frontends.ink.augmentation import InkDistortion, distort_ink
from ctcasr.frontends.ink.normalisation import InkStep, normalise_ink, text_lines
from ctcasr.frontends.ink.strokes import Ink

OFFSET_FEATURES = ("dx", "dy", "height", "elapsed", "pen_down", "pen_up")

GRAVES_FEATURES = (
    "pen_up",
    "hat",
    "speed",
    "x",
    "y",
    "heading_cos",
    "heading_sin",
    "curvature_cos",
    "curvature_sin",
    "vicinity_aspect",
    "vicinity_slope_cos",
    "vicinity_slope_sin",
    "vicinity_curliness",
    "vicinity_linearity",
    "ascenders",
    "descenders",
    *(f"context_{row}{column}" for row in range(3) for column in range(3)),
)

MAX_FRAMES = 100_000
"""Most frames of one item: several hundred lines of text at the default step."""

VICINITY = 3
X_MEAN_FRAMES = 31
CELL = 0.5
"""In x-heights: the side of a cell of the context map, and half the width in which ascenders and
descenders are counted."""

DELAYED = 0.5
"""A stroke that starts further left of the ink before it than this, in x-heights, is delayed."""

_SPEED_POINTS = 2  # on either side: clocks of devices count coarsely


class InkFrontendConfig(FramedConfig):
    """How pen strokes become features. Section `frontend` of a run's YAML file."""

    kind: Literal["offsets", "graves"] = "offsets"
    """`offsets`: steps of the pen; `graves`: the 25 features of Graves et al. 2009."""

    resampling: Literal["arc", "time"] = "arc"
    """Frames at equal steps of the pen's way, or of time."""

    step: float = Field(0.2, gt=0)
    """Distance between frames: in x-heights (`arc`), or in seconds (`time`)."""

    normalisation: tuple[InkStep, ...] = ("outliers", "slope", "slant", "size")
    """Steps that make writers alike, in this order: `outliers`, `slope`, `slant`, `size`."""

    use_times: bool = False
    """Whether `offsets` has the time since the frame before; every item must then have times."""

    normalise: Normalisation = Normalisation.TRAINING
    """Zero mean and unit variance per feature: by `training` statistics, per `utterance`, or
    `none`."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Return what each feature is called, in order."""
        if self.kind == "graves":
            return GRAVES_FEATURES
        return tuple(name for name in OFFSET_FEATURES if self.use_times or name != "elapsed")

    @property
    def num_features(self) -> int:
        """F, the features of a frame."""
        return len(self.feature_names)


@dataclass(frozen=True, slots=True, eq=False)
class InkFrames:
    """The features of one item, and where each frame came from.

    Attributes:
        features: (T, F)
        sampled: the ink of the frames, normalised: its points are the frames.
        points: (T,) the point of the given ink that each frame is nearest to, along the pen's way.
        strokes: (T,) the stroke of the given ink that each frame is part of, from 0.
    """

    features: NDArray[np.float32]
    sampled: Ink
    points: NDArray[np.int64]
    strokes: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedInk:
    """Ink that was read and normalised: what does not change from epoch to epoch.

    Attributes:
        item: named in errors.
        normal: the normalised ink.
        letter: the height of its small letters.
        points, strokes: (N,) the point and the stroke of the given ink that each of its points is.
    """

    item: str
    normal: Ink
    letter: float
    points: NDArray[np.int64]
    strokes: NDArray[np.int64]

    @property
    def num_bytes(self) -> int:
        """What it takes in memory."""
        times = 0 if self.normal.times is None else self.normal.times.nbytes
        ink = self.normal.points.nbytes + self.normal.pen_up.nbytes + times
        return ink + self.points.nbytes + self.strokes.nbytes


def prepare_ink(ink: Ink, config: InkFrontendConfig, *, item: str) -> PreparedInk:
    """Return ink as it was read, normalised."""
    normal, kept = normalise_ink(ink, config.normalisation)
    _, letter = text_lines(normal)
    return PreparedInk(item, normal, letter, kept, ink.stroke_ids[kept])


def ink_frames(
    prepared: PreparedInk, config: InkFrontendConfig, *, distortion: InkDistortion | None = None
) -> InkFrames:
    """Return the features of one item, at least one frame.

    Args:
        prepared: by `prepare_ink`, with the same configuration.
        config: which features.
        distortion: what is done to the normalised ink while training.

    Raises:
        InkError: times are needed and there are none; more than `MAX_FRAMES` frames.
    """
    ink, kept, item = prepared.normal, np.arange(len(prepared.normal)), prepared.item
    if distortion is not None:
        ink, kept = distort_ink(ink, distortion, letter=prepared.letter)
    sampled, nearest = resample_ink(
        ink, step=config.step, by_time=config.resampling == "time", item=item
    )
    if config.kind == "graves":
        features = graves_features(sampled, speed=pen_speed(ink)[nearest])
    else:
        features = offset_features(sampled, use_times=config.use_times, item=item)
    origin = kept[nearest]
    return InkFrames(features, sampled, prepared.points[origin], prepared.strokes[origin])


def resample_ink(
    ink: Ink, *, step: float, by_time: bool, item: str
) -> tuple[Ink, NDArray[np.int64]]:
    """Return ink with points at equal steps, and for each the (T,) nearest point it came from.

    Each stroke is divided into equal parts, as near to `step` as they can be; its first and last
    point stay. One that takes no way (or time) becomes one point.

    Raises:
        InkError: by time, and there are no times; more than `MAX_FRAMES` points.
    """
    if by_time and ink.times is None:
        raise InkError(
            f"{item}: no times, and frontend.resampling is 'time'; set it to 'arc' or give times"
        )
    ends = np.flatnonzero(ink.pen_up)
    starts = np.r_[0, ends[:-1] + 1]
    way = _way(ink) if not by_time or ink.times is None else ink.times - ink.times[0]
    sizes = way[ends] - way[starts]
    parts = np.where(sizes > 0, np.maximum(np.rint(sizes / step), 1), 0)
    if parts.sum() + len(parts) > MAX_FRAMES:
        raise InkError(
            f"{item}: {parts.sum() + len(parts):,.0f} frames, at most {MAX_FRAMES:,} are made; "
            "raise frontend.step or cut the item into lines"
        )
    counts = parts.astype(np.int64) + 1
    stroke = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(stroke)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = nth / np.maximum(parts, 1)[stroke]
    at = way[starts][stroke] + share * sizes[stroke]
    index = np.interp(at, way, np.arange(len(way), dtype=np.float64))
    index = np.clip(index, starts[stroke], ends[stroke])  # nothing is drawn in the air
    index[nth == 0] = starts
    index[(nth > 0) & (nth == parts[stroke])] = ends[parts > 0]
    below = np.floor(index).astype(np.int64)
    above = np.minimum(below + 1, len(way) - 1)
    part = index - below

    def between(values: NDArray[np.float64]) -> NDArray[np.float64]:
        share = part.reshape(-1, *[1] * (values.ndim - 1))
        found: NDArray[np.float64] = values[below] * (1 - share) + values[above] * share
        return found

    pen_up = nth == parts[stroke]
    times = None if ink.times is None else between(ink.times)
    return Ink(between(ink.points), pen_up, times), np.rint(index).astype(np.int64)


def offset_features(ink: Ink, *, use_times: bool, item: str) -> NDArray[np.float32]:
    """Return the (T, F) features `offsets` of resampled ink.

    Raises:
        InkError: times are asked for and there are none.
    """
    steps = np.diff(ink.points, axis=0, prepend=ink.points[:1])
    pen_down = np.r_[True, ink.pen_up[:-1]]
    columns = [steps[:, 0], steps[:, 1], ink.points[:, 1]]
    if use_times:
        if ink.times is None:
            raise InkError(
                f"{item}: no times, and frontend.use_times is set; unset it or give times"
            )
        columns.append(np.log1p(np.diff(ink.times, prepend=ink.times[:1])))
    return np.stack([*columns, pen_down, ink.pen_up], axis=1, dtype=np.float32, casting="unsafe")


def graves_features(ink: Ink, *, speed: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the (T, 25) features `graves` of resampled ink; `speed` is (T,), see `pen_speed`."""
    x, y = ink.points.T
    ahead = np.diff(ink.points, axis=0)
    heading = _directions(np.concatenate([ahead, ahead[-1:]]) if len(ahead) else np.zeros((1, 2)))
    behind = np.concatenate([heading[:1], heading[:-1]])
    turn_cos = (behind * heading).sum(axis=1)
    turn_sin = behind[:, 0] * heading[:, 1] - behind[:, 1] * heading[:, 0]
    columns = np.column_stack(
        [
            ink.pen_up,
            _hat(ink),
            np.log1p(speed),
            x - _moving_mean(x, X_MEAN_FRAMES),
            y,
            heading,
            turn_cos,
            turn_sin,
            _vicinity(ink.points),
            np.log1p(_neighbour_counts(ink.points)),
        ]
    )
    return columns.astype(np.float32)


def pen_speed(ink: Ink) -> NDArray[np.float64]:
    """Return the (N,) speed at each point, over 2 points to either side within its stroke.

    Way per second; without times per point of the device, which samples evenly. 0 where no time
    passes.
    """
    spans = np.array(ink.stroke_spans())[ink.stroke_ids]
    at = np.arange(len(ink))
    first = np.maximum(at - _SPEED_POINTS, spans[:, 0])
    last = np.minimum(at + _SPEED_POINTS, spans[:, 1] - 1)
    way = _way(ink)
    clock = at.astype(np.float64) if ink.times is None else ink.times
    elapsed = clock[last] - clock[first]
    speed = np.zeros(len(ink))
    np.divide(way[last] - way[first], elapsed, out=speed, where=elapsed > 0)
    return speed


def _way(ink: Ink) -> NDArray[np.float64]:
    """Return the (N,) way of the pen up to each point, on paper and in the air."""
    way: NDArray[np.float64] = np.r_[0.0, np.cumsum(np.hypot(*np.diff(ink.points, axis=0).T))]
    return way


def _directions(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, 2) steps at length 1; one of length 0 points right."""
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    still = lengths == 0
    unit: NDArray[np.float64] = steps / np.where(still, 1, lengths)[:, None]
    unit[still] = (1, 0)
    return unit


def _hat(ink: Ink) -> NDArray[np.bool_]:
    """Return (T,) where a delayed stroke lies above or below a frame of another stroke."""
    x = ink.points[:, 0]
    starts = np.flatnonzero(np.r_[True, ink.pen_up[:-1]])
    left, right = np.minimum.reduceat(x, starts), np.maximum.reduceat(x, starts)
    reached = np.r_[-np.inf, np.maximum.accumulate(right)[:-1]]
    delayed = np.flatnonzero(x[starts] < reached - DELAYED)
    covered = (x[:, None] >= left[delayed]) & (x[:, None] <= right[delayed])
    hats: NDArray[np.bool_] = (covered & (ink.stroke_ids[:, None] != delayed)).any(axis=1)
    return hats


def _moving_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return the mean of (T,) values over a window about each, cut off at the ends."""
    total = np.r_[0.0, np.cumsum(values)]
    at = np.arange(len(values))
    first = np.maximum(at - width // 2, 0)
    end = np.minimum(at + width // 2 + 1, len(values))
    means: NDArray[np.float64] = (total[end] - total[first]) / (end - first)
    return means


def _vicinity(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (T, 5): aspect, slope as cosine and sine, curliness and linearity of the vicinity."""
    at = np.arange(len(points))[:, None] + np.arange(-VICINITY, VICINITY + 1)
    real = (at >= 0) & (at < len(points))
    # (T, 7, 2): at either end its point repeats, which adds neither way nor distance.
    near = points[np.clip(at, 0, len(points) - 1)]
    width, height = np.moveaxis(np.ptp(near, axis=1), 1, 0)
    larger = np.maximum(width, height)
    way = np.hypot(*np.moveaxis(np.diff(near, axis=1), 2, 0)).sum(axis=1)
    slope = _directions(near[:, -1] - near[:, 0])
    away = near - near[:, :1]
    across = away[..., 0] * slope[:, None, 1] - away[..., 1] * slope[:, None, 0]
    extent = width + height
    return np.column_stack(
        [
            np.divide(height - width, extent, out=np.zeros(len(points)), where=extent > 0),
            slope,
            np.divide(way, larger, out=np.ones(len(points)), where=larger > 0),
            np.square(across).sum(axis=1) / real.sum(axis=1),
        ]
    )


def _neighbour_counts(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (T, 11): frames above and below the small letters, and in the 3 x 3 context map.

    Only pairs of frames that are near in x are looked at: O(T * neighbours), not O(T * T).
    """
    reach = 1.5 * CELL
    order = np.argsort(points[:, 0], kind="stable")
    x = points[order, 0]
    first = np.searchsorted(x, points[:, 0] - reach, side="left")
    sizes = np.searchsorted(x, points[:, 0] + reach, side="left") - first
    centre = np.repeat(np.arange(len(points)), sizes)
    nth = np.arange(len(centre)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    other = order[np.repeat(first, sizes) + nth]
    steps = points[other] - points[centre]
    cells = np.floor((steps + reach) / CELL).astype(np.int64)  # column, row
    near = np.abs(steps[:, 0]) <= CELL
    level = points[other, 1]
    inside = ((cells >= 0) & (cells < 3)).all(axis=1)
    counts = np.zeros((len(points), 11), dtype=np.int64)
    for column, chosen in enumerate((near & (level < -1), near & (level > 0))):
        counts[:, column] = np.bincount(centre[chosen], minlength=len(points))
    flat = centre[inside] * 9 + cells[inside, 1] * 3 + cells[inside, 0]
    counts[:, 2:] = np.bincount(flat, minlength=9 * len(points)).reshape(-1, 9)
    return counts
