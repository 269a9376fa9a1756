"""Augmentation of ink: other hands, pens and moods out of the lines at hand.

Every draw is keyed by (seed, epoch, item) and made at once, in `draw_ink_distortion`, as for
recordings. What is drawn counts in shares of the ink's own size, so that it suits every device.

It is normalised ink that is distorted (`ink_features.ink_frames`): normalisation would take
rotation, slant and size away again.

Sources: Simard, Steinkraus and Platt 2003 (elastic distortion); Ko et al. 2015 (speed).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ctcasr.frontends.draws import PositiveRange, Range, keyed_generator
from ctcasr.frontends.ink.normalisation import rotate, shear
from ctcasr.frontends.ink.strokes import Ink
from ctcasr.settings import Section


class InkAugmentConfig(Section):
    """How ink is varied while training. Section `augment` of a run's YAML file."""

    rotation_degrees: Range = (-2.0, 2.0)
    """Range of the turn of the whole item, in degrees."""

    slant: Range = (-0.3, 0.3)
    """Range of the shear: how far right a point moves per unit that it lies lower."""

    scale: PositiveRange = (0.9, 1.1)
    """Range of the size, both ways alike."""

    stretch: PositiveRange = (0.85, 1.15)
    """Range of the width, on top of the size."""

    speed: PositiveRange = (0.8, 1.25)
    """Range of how fast the pen goes; matters to features that look at time."""

    elastic: float = Field(0.1, ge=0)
    """Size of a smooth random shift along the line: its root mean square, in heights of the small
    letters."""

    elastic_width: float = Field(3.0, gt=0)
    """How far apart two points move on their own under that shift, in heights of small letters."""

    stroke_shift: float = Field(0.05, ge=0)
    """Size of a random shift of each stroke as a whole, in heights of the small letters."""

    stroke_drop: float = Field(0.05, ge=0, le=1)
    """Share of the short strokes (dots, bars) that are left out, as by a pen that lost touch."""

    point_noise: float = Field(0.01, ge=0)
    """Size of a random shift of every point, in heights of the small letters."""


NO_INK_AUGMENTATION = InkAugmentConfig(
    rotation_degrees=(0, 0),
    slant=(0, 0),
    scale=(1, 1),
    stretch=(1, 1),
    speed=(1, 1),
    elastic=0,
    stroke_shift=0,
    stroke_drop=0,
    point_noise=0,
)
_WAVES = 12  # sums of so many look Gaussian


@dataclass(frozen=True, slots=True)
class InkDistortion:
    """All that was drawn for one item in one epoch; what is drawn per stroke or point by `seed`."""

    rotation_degrees: float
    slant: float
    scale: float
    stretch: float
    speed: float
    elastic: float
    elastic_width: float
    stroke_shift: float
    stroke_drop: float
    point_noise: float
    seed: int


def draw_ink_distortion(
    config: InkAugmentConfig, *, seed: int, epoch: int, item: str
) -> InkDistortion:
    """Draw everything for one item in one epoch."""
    generator = keyed_generator("ink", seed, epoch, item)

    def drawn(bounds: tuple[float, float]) -> float:
        return float(generator.uniform(*bounds))

    return InkDistortion(
        rotation_degrees=drawn(config.rotation_degrees),
        slant=drawn(config.slant),
        scale=drawn(config.scale),
        stretch=drawn(config.stretch),
        speed=drawn(config.speed),
        elastic=config.elastic,
        elastic_width=config.elastic_width,
        stroke_shift=config.stroke_shift,
        stroke_drop=config.stroke_drop,
        point_noise=config.point_noise,
        seed=int(generator.integers(2**32)),
    )


def distort_ink(
    ink: Ink, distortion: InkDistortion, *, letter: float
) -> tuple[Ink, NDArray[np.int64]]:
    """Return ink distorted as drawn, and which (N',) points of the given ink it keeps.

    `letter` is the height of its small letters (`text_lines`), in which much was drawn.

    Its middle stays where it was. Only strokes shorter than small letters are high can be left out,
    since a longer one may be a whole letter or word; one stroke always stays.
    """
    generators = np.random.default_rng(distortion.seed).spawn(4)
    short = np.array([_length(stroke) < letter for stroke in ink.strokes()])
    stays = ~short | (generators[0].random(ink.num_strokes) >= distortion.stroke_drop)
    if not stays.any():
        stays[0] = True
    kept = np.flatnonzero(stays[ink.stroke_ids])
    ink = ink.take_strokes(stays)
    points = ink.points
    if distortion.elastic:
        waves = _smooth_shift(points / (letter * distortion.elastic_width), generators[1])
        points = points + waves * (distortion.elastic * letter)
    if distortion.stroke_shift:
        shifts = generators[2].standard_normal((ink.num_strokes, 2))
        points = points + shifts[ink.stroke_ids] * (distortion.stroke_shift * letter)
    if distortion.point_noise:
        noise = generators[3].standard_normal(points.shape)
        points = points + noise * (distortion.point_noise * letter)
    middle = ink.points.mean(axis=0)
    points = (points - middle) * distortion.scale * np.array([distortion.stretch, 1.0])
    points = rotate(shear(points, distortion.slant), math.radians(distortion.rotation_degrees))
    times = None if ink.times is None else ink.times / distortion.speed
    return replace(ink, points=points + middle, times=times), kept


def _length(stroke: NDArray[np.float64]) -> float:
    return float(np.hypot(*np.diff(stroke, axis=0).T).sum())


def _smooth_shift(
    places: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return an (N, 2) random shift of unit power that changes over a distance of about 1.

    A sum of plane waves of random direction, length and phase: a field over the page, so that
    strokes that touch still touch.
    """
    vectors = generator.standard_normal((2, _WAVES, 2))
    phases = generator.uniform(0, 2 * math.pi, (2, _WAVES))
    angles = np.einsum("np,cwp->cwn", places, vectors) + phases[..., None]  # c: x or y
    shift: NDArray[np.float64] = np.cos(angles).sum(axis=1).T * math.sqrt(2 / _WAVES)
    return shift
