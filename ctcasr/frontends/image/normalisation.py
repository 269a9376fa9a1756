"""Images of lines as if every writer wrote alike: level, upright, of one size.

`measure_line` finds what the steps asked for need to know, in their order, and `straighten` draws
the line anew by it, once.

    slope   the line is sheared up or down until its rows are as unequal as they can be: full along
            the small letters, empty between the lines
    slant   it is sheared to the side until its columns are: down strokes stand upright
    size    a stretch about the middle of the ink, 6.6 standard deviations of its rows high, fills
            the height; what lies above or below it (a neighbour's loops) is cut off

Without `size` the height of the image does. Rows and columns are counted over the dark pixels of
the image, brought to about 48 rows. No torch.

Sources: Vinciarelli and Luettin 2001, "A new normalization technique for cursive handwritten
words", Pattern Recognition Letters 22 (slope and slant by the density of projections); Kozielski,
Forster and Ney 2012, "Moment-based image normalization for handwritten text recognition" (size by
moments).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ctcasr.frontends.image.line_image import LineImage

ImageStep = Literal["slope", "slant", "size"]

MAX_SLOPE = 0.2
MAX_SLANT = 1.2

_ROWS = 48  # the image is measured at about so many
_DARK = 0.3  # ink of a pixel that is counted
_LEAST_PIXELS = 30  # fewer dark ones say nothing
_LEAST_WIDTHS = 3.0  # of the height: shorter lines say no slope
_SLOPE_STEP, _SLANT_STEP = 0.02, 0.1  # first tried in these steps,
_FINER = 4  # then in so many between two of them, to either side of the best
_GAIN = 1.02  # a turn must make the projection denser by this much
_SPREAD = 3.3  # standard deviations of the rows to either side of the middle
_NEAR = 2.5  # of them, beyond which ink is not the line's own, or a long loop
_ROUNDS = 3
_LEAST_SHARE, _MOST_SHARE = 0.25, 1.5  # of the image's height that the line may fill


@dataclass(frozen=True, slots=True)
class LineShape:
    """How a line lies in its image, in pixels of it.

    Attributes:
        slope: how far down it goes per pixel to the right.
        slant: how far right its down strokes go per pixel down.
        middle: y of the line's middle, at the middle column.
        extent: what becomes the whole height.
    """

    slope: float
    slant: float
    middle: float
    extent: float


def measure_line(image: LineImage, steps: Sequence[ImageStep]) -> LineShape:
    """Return how a line lies; what no step asks for, or too little ink tells, is as it stands."""
    height, width = image.height, image.width
    shape = LineShape(0.0, 0.0, height / 2, float(height))
    factor = max(1, height // _ROWS)
    ink = image.ink
    if factor > 1:
        ink = np.asarray(Image.fromarray(ink).reduce(factor))
    rows, columns = np.nonzero(ink > _DARK)
    if len(rows) < _LEAST_PIXELS:
        return shape
    weights = ink[rows, columns].astype(np.float64)
    y = np.asarray((rows + 0.5) * factor - height / 2, dtype=np.float64)
    x = np.asarray((columns + 0.5) * factor - width / 2, dtype=np.float64)
    for step in steps:
        level = y - shape.slope * x
        if step == "slope" and np.ptp(x) > _LEAST_WIDTHS * np.ptp(y):
            slope = _densest(level, x, weights, factor, MAX_SLOPE, _SLOPE_STEP)
            shape = replace(shape, slope=shape.slope + slope)
        elif step == "slant":
            upright = x - shape.slant * level
            slant = _densest(upright, level, weights, factor, MAX_SLANT, _SLANT_STEP)
            shape = replace(shape, slant=shape.slant + slant)
        elif step == "size":
            middle, extent = _body(level, weights, height)
            shape = replace(shape, middle=height / 2 + middle, extent=extent)
    return shape


def straighten(
    image: LineImage, shape: LineShape, *, height: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return (height, T) ink of a line drawn level and upright, and where its columns came from.

    Width and height are scaled alike, so T follows the width.

    Args:
        image: the line.
        shape: as `measure_line` found it.
        height: of what is returned, in pixels.

    Returns:
        The ink, and the (T,) x of each column in the given image, at the line's middle.
    """
    scale = height / shape.extent  # new pixels per old one
    num_columns = max(1, round(image.width * scale))
    factor = max(1, int(1 / scale))
    picture = Image.fromarray(image.ink)
    if factor > 1:
        picture = picture.reduce(factor)  # no pixel is jumped over
    # A point (u, v) of the new image, from its middle, lies at x = u / scale + slant * v / scale,
    # and at y = middle + slope * x + v / scale.
    across = 1 / (scale * factor)
    lean = shape.slant * across
    centre_x = image.width / (2 * factor)
    centre_y = shape.middle / factor
    offset_u, offset_v = num_columns / 2, height / 2
    rows = (
        (across, lean, centre_x - across * offset_u - lean * offset_v),
        (
            shape.slope * across,
            across + shape.slope * lean,
            centre_y - shape.slope * across * offset_u - (across + shape.slope * lean) * offset_v,
        ),
    )
    drawn = picture.transform(
        (num_columns, height),
        Image.Transform.AFFINE,
        (*rows[0], *rows[1]),
        resample=Image.Resampling.BILINEAR,
    )
    places = np.arange(num_columns, dtype=np.float64) + 0.5
    columns = np.asarray(image.width / 2 + (places - offset_u) / scale, dtype=np.float64)
    return np.asarray(drawn, dtype=np.float32), columns


def _densest(
    places: NDArray[np.float64],
    along: NDArray[np.float64],
    weights: NDArray[np.float64],
    bin_width: int,
    most: float,
    step: float,
) -> float:
    """Return the shear within +- `most` that crowds (N,) places - shear * along the most."""
    reach = np.abs(along).max() * most + bin_width
    low = places.min() - reach
    size = int((places.max() + reach - low) / bin_width) + 2

    def density(shear: float) -> float:
        bins = ((places - shear * along - low) / bin_width).astype(np.int64)
        counts = np.bincount(bins, weights, minlength=size)
        return float(np.square(counts).sum())

    upright = density(0.0)
    candidates = np.arange(-round(most / step), round(most / step) + 1) * step
    scores = [density(shear) for shear in candidates]
    best = float(candidates[int(np.argmax(scores))])
    if max(scores) < _GAIN * upright:
        return 0.0
    finer = best + np.arange(-_FINER, _FINER + 1) * (step / (_FINER + 1))
    return float(finer[int(np.argmax([density(shear) for shear in finer]))])


def _body(
    level: NDArray[np.float64], weights: NDArray[np.float64], height: int
) -> tuple[float, float]:
    """Return the middle of the ink's (N,) rows, and how high a stretch holds the line."""
    near = np.ones(len(level), dtype=bool)
    for _ in range(_ROUNDS):  # from the second on without what is far off
        middle = float(np.average(level[near], weights=weights[near]))
        spread = float(np.sqrt(np.average(np.square(level[near] - middle), weights=weights[near])))
        near = np.abs(level - middle) <= _NEAR * max(spread, 1.0)
    extent = 2 * _SPREAD * spread
    return middle, float(np.clip(extent, _LEAST_SHARE * height, _MOST_SHARE * height))
