"""Ink as if every writer held the pen alike: level, upright, of one size, without stray strokes.

`normalise_ink` applies the steps asked for, in their order.

    outliers    strokes far above or below the line of text are left out
    slope       the line is turned until its baseline is level
    slant       the writing is sheared until its down strokes are upright
    size        the small letters become 1 high; the baseline comes to y = 0, the left edge to x = 0

All rest on medians over the turning points of the pen, so a few long strokes move nothing. Ink that
says too little (a dot, one letter, a bar) keeps its slope and slant, and its own height stands for
its size. No torch.

Sources: Liwicki and Bunke 2006, "HMM-based on-line recognition of handwritten whiteboard notes",
section 3 (the steps; there with regression lines, here with Theil 1950's median of slopes); Graves
et al. 2009, PAMI 31(5), section 3.1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ctcasr.frontends.ink.strokes import Ink

InkStep = Literal["outliers", "slope", "slant", "size"]

MAX_SLOPE = math.tan(math.radians(45))
MAX_SLANT = math.tan(math.radians(60))

_OUTLIER_HEIGHTS = 8.0  # of the middle half of the ink, both ways: beyond dots, quotes and loops
_LINE_ASPECT = 1.8  # of the middle half; narrower ink says no slope, a line at 45 degrees does
_MIN_TURNS = 6  # tops or bottoms, for a median over their pairs
_MAX_TURNS = 60  # more say nothing new, and pairs are many
_FAR_SHARE = 0.2  # pairs of turning points nearer than this share of the width are left out
_LEAST_SHARE = 0.05  # of the ink's height: small letters are no smaller
_WIDEST = 500.0  # small letters' heights: hundreds of characters on one line
_ROUNDS = 2  # turning points move a little as the line turns


def normalise_ink(ink: Ink, steps: Sequence[InkStep]) -> tuple[Ink, NDArray[np.int64]]:
    """Return ink after the named steps, in their order, and which (N',) points given it keeps."""
    kept = np.arange(len(ink))
    for step in steps:
        if step == "outliers":
            near = is_near_line(ink)
            kept = kept[near[ink.stroke_ids]]
            ink = ink.take_strokes(near)
        else:
            ink = _MOVES[step](ink)
    return ink, kept


def is_near_line(ink: Ink) -> NDArray[np.bool_]:
    """Return (strokes,) False for strokes whose middle is far above or below the line of text.

    Far is 8 times the height of the middle half of the ink, measured from the median and along the
    line's own slope. Where that would leave nothing, everything stays.
    """
    points = ink.points
    level = points[:, 1] - _baseline_slope(ink) * points[:, 0]
    low, middle, high = np.quantile(level, (0.25, 0.5, 0.75))
    ids = ink.stroke_ids
    centres = np.bincount(ids, weights=level) / np.bincount(ids)
    near: NDArray[np.bool_] = np.abs(centres - middle) <= _OUTLIER_HEIGHTS * (high - low)
    return near if near.any() else ~near


def level_slope(ink: Ink) -> Ink:
    """Return ink turned about its middle until the baseline is level, by 45 degrees at most."""
    middle = ink.points.mean(axis=0)
    for _ in range(_ROUNDS):
        angle = -math.atan(_baseline_slope(ink))
        if angle == 0:
            break
        ink = ink.moved(rotate(ink.points - middle, angle) + middle)
    return ink


def upright_slant(ink: Ink) -> Ink:
    """Return ink sheared about its middle until the median down stroke is upright.

    Each bit of a stroke on its way down weighs as much as it goes down, so neither the device's
    sampling nor the links between letters, which go up, matter.
    """
    return ink.moved(shear(ink.points, -slant(ink)))


def unit_size(ink: Ink) -> Ink:
    """Return ink whose small letters are 1 high, with the baseline at y = 0 and x from 0."""
    baseline, height = text_lines(ink)
    origin = np.array([ink.points[:, 0].min(), baseline])
    return ink.moved((ink.points - origin) / height)


def rotate(points: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Return (N, 2) points turned about the origin by `angle`, in radians from x to y."""
    cosine, sine = math.cos(angle), math.sin(angle)
    turned: NDArray[np.float64] = points @ np.array([[cosine, sine], [-sine, cosine]])
    return turned


def shear(points: NDArray[np.float64], amount: float) -> NDArray[np.float64]:
    """Return (N, 2) points moved right by `amount` times their depth below the middle."""
    moved = points.copy()
    moved[:, 0] += amount * (points[:, 1] - points[:, 1].mean())
    return moved


def slant(ink: Ink) -> float:
    """Return how far right the median down stroke goes per unit down; 0 where none goes down."""
    steps = np.diff(ink.points, axis=0)[~ink.pen_up[:-1]]
    down = steps[steps[:, 1] > 0]
    if not len(down):
        return 0.0
    median = weighted_median(down[:, 0] / down[:, 1], down[:, 1])
    return median if abs(median) <= MAX_SLANT else 0.0


def text_lines(ink: Ink) -> tuple[float, float]:
    """Return the y of the baseline and the height of the small letters, which is above 0.

    The baseline is where the pen turns at the bottom, by the median; the small letters end where it
    turns at the top. A turn weighs as much as the pen moves up or down about it, the lesser of the
    two, so that wiggles say little; and at most as much as the middle half of the ink is high, so
    that tall letters say no more than small ones. Where turns do not tell, half the ink's height
    stands in; for a bar, a 500th of its width; for a dot, 1.
    """
    y = ink.points[:, 1]
    width, whole = np.ptp(ink.points, axis=0)
    largest = _half_height(y)
    tops, bottoms = turning_points(ink)
    if len(tops.at) and len(bottoms.at):
        baseline = weighted_median(y[bottoms.at], np.minimum(bottoms.travel, largest))
        height = baseline - weighted_median(y[tops.at], np.minimum(tops.travel, largest))
        if height > max(whole * _LEAST_SHARE, width / _WIDEST):
            return baseline, height
    return float(y.max()), float(max(whole / 2, width / _WIDEST) or 1.0)


@dataclass(frozen=True, slots=True)
class Turns:
    """Where strokes turn from up to down, or from down to up; K of them.

    Attributes:
        at: (K,) points, rising.
        travel: (K,) how far the stroke goes up or down next to the turn, on the shorter side; at a
            stroke's end, on its only side.
    """

    at: NDArray[np.int64]
    travel: NDArray[np.float64]


def turning_points(ink: Ink) -> tuple[Turns, Turns]:
    """Return the tops and the bottoms of strokes, their ends included.

    A top has a small y, which grows downwards. A stroke that only goes sideways has neither.
    """
    y = ink.points[:, 1]
    rise = np.sign(np.diff(y))
    rise[ink.pen_up[:-1]] = 0  # in the air
    moving = np.flatnonzero(rise)
    if not len(moving):
        none = Turns(np.empty(0, dtype=np.int64), np.empty(0))
        return none, none
    ids, rise = ink.stroke_ids[moving], rise[moving]
    new_stroke = np.r_[True, ids[1:] != ids[:-1]]
    starts = np.flatnonzero(new_stroke | np.r_[True, rise[1:] != rise[:-1]])  # runs, all one way
    run_ends = np.r_[starts[1:], len(moving)] - 1
    heads, tails = moving[starts], moving[run_ends] + 1
    travel = np.abs(y[tails] - y[heads])
    opens = new_stroke[starts]
    closes = np.r_[opens[1:], True]
    # A run that goes on in another one ends where that one starts.
    before = np.where(opens, np.inf, np.r_[np.inf, travel[:-1]])
    at = np.r_[heads, tails[closes]]
    weights = np.r_[np.minimum(travel, before), travel[closes]]
    is_top = np.r_[rise[starts] > 0, rise[starts][closes] < 0]
    order = np.argsort(at, kind="stable")
    at, weights, is_top = at[order], weights[order], is_top[order]
    return Turns(at[is_top], weights[is_top]), Turns(at[~is_top], weights[~is_top])


def weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return the least of (K,) values that has half of the weight at or below it."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(total, total[-1] / 2)]])


def _baseline_slope(ink: Ink) -> float:
    """Return the median slope between far turning points, tops with tops, bottoms with bottoms."""
    points = ink.points
    width = np.ptp(points[:, 0])
    if width < _LINE_ASPECT * _half_height(points[:, 1]):
        return 0.0
    slopes = [np.empty(0)]
    for turns in turning_points(ink):
        if len(turns.at) < _MIN_TURNS:
            continue
        chosen = points[turns.at[:: -(-len(turns.at) // _MAX_TURNS)]]
        steps = chosen[None] - chosen[:, None]
        far = steps[..., 0] > _FAR_SHARE * width
        slopes.append(steps[far][:, 1] / steps[far][:, 0])
    every = np.concatenate(slopes)
    median = float(np.median(every)) if len(every) else 0.0
    return median if abs(median) <= MAX_SLOPE else 0.0


def _half_height(y: NDArray[np.float64]) -> float:
    """Return how high the middle half of the points is."""
    low, high = np.quantile(y, (0.25, 0.75))
    return float(high - low)


_MOVES = {
    "slope": level_slope,
    "slant": upright_slant,
    "size": unit_size,
}
