"""Augmentation of images of lines: other hands, pens and papers out of the lines at hand.

Every draw is keyed by (seed, epoch, item) and made at once, in `draw_image_distortion`, as for
recordings. Lengths count in shares of the line's height, so that they suit every height.

It is the straightened line that is distorted (`image_features.image_frames`): straightening would
take slope, slant and size away again.

Sources: Simard, Steinkraus and Platt 2003 (affine and elastic distortion); Wigington et al. 2017,
"Data augmentation for recognition of handwritten words and lines using a CNN-LSTM network" (of
lines); DeVries and Taylor 2017, arXiv:1708.04552 (cut-out).
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import AfterValidator, Field
from scipy import ndimage

from ctcasr.frontends.draws import PositiveRange, Range, keyed_generator, rising
from ctcasr.settings import Section

_Stroke = Annotated[float, Field(ge=-1, le=1)]
StrokeRange = Annotated[tuple[_Stroke, _Stroke], AfterValidator(rising)]


class ImageAugmentConfig(Section):
    """How images of lines are varied while training. Section `augment` of a run's YAML file."""

    rotation_degrees: Range = (-1.0, 1.0)
    """Range of the turn of the whole line, in degrees."""

    slant: Range = (-0.3, 0.3)
    """Range of the shear: how far right a pixel moves per pixel that it lies lower."""

    scale: PositiveRange = (0.85, 1.15)
    """Range of the size, both ways alike; what grows beyond the height is cut off."""

    stretch: PositiveRange = (0.85, 1.15)
    """Range of the width, on top of the size."""

    shift: float = Field(0.06, ge=0)
    """Up to so far the line is moved up or down, as a share of the height."""

    elastic: float = Field(0.03, ge=0)
    """Size of a smooth random shift of the pixels: its root mean square, as a share of the
    height."""

    elastic_width: float = Field(0.5, gt=0)
    """How far apart two pixels move on their own under that shift, as a share of the height."""

    stroke_width: StrokeRange = (-0.5, 0.8)
    """Range of how much thicker strokes get: 1 is one pixel to either side, -1 one less; no more
    than these."""

    contrast: PositiveRange = (0.6, 1.0)
    """Range of what ink is multiplied by; what then is more than full ink is full."""

    noise: float = Field(0.08, ge=0)
    """Largest deviation of the noise that is added to every pixel."""

    cut_outs: int = Field(2, ge=0)
    """Squares that are blanked in each line."""

    cut_out_size: float = Field(0.4, gt=0)
    """Largest side of such a square, as a share of the height."""


NO_IMAGE_AUGMENTATION = ImageAugmentConfig(
    rotation_degrees=(0, 0),
    slant=(0, 0),
    scale=(1, 1),
    stretch=(1, 1),
    shift=0,
    elastic=0,
    stroke_width=(0, 0),
    contrast=(1, 1),
    noise=0,
    cut_outs=0,
)
_WIDEST_TURN = 0.5  # of the height, that the ends of a turned line may move up or down


@dataclass(frozen=True, slots=True)
class ImageDistortion:
    """All that was drawn for one line in one epoch; what is drawn per pixel, by `seed`.

    Attributes:
        rotation_degrees, slant, scale, stretch: see `ImageAugmentConfig`.
        shift: down, as a share of the height.
        elastic, elastic_width, stroke_width, contrast: see `ImageAugmentConfig`.
        noise: its deviation.
        cut_outs: x and y of the middle as shares of width and height, side as one of the height.
        seed: of the rest.
    """

    rotation_degrees: float
    slant: float
    scale: float
    stretch: float
    shift: float
    elastic: float
    elastic_width: float
    stroke_width: float
    contrast: float
    noise: float
    cut_outs: tuple[tuple[float, float, float], ...]
    seed: int

    @property
    def width_factor(self) -> float:
        """How much wider a line becomes."""
        return self.scale * self.stretch


def draw_image_distortion(
    config: ImageAugmentConfig, *, seed: int, epoch: int, item: str
) -> ImageDistortion:
    """Draw everything for one line in one epoch."""
    generator = keyed_generator("image", seed, epoch, item)

    def drawn(bounds: tuple[float, float]) -> float:
        return float(generator.uniform(*bounds))

    return ImageDistortion(
        rotation_degrees=drawn(config.rotation_degrees),
        slant=drawn(config.slant),
        scale=drawn(config.scale),
        stretch=drawn(config.stretch),
        shift=drawn((-config.shift, config.shift)),
        elastic=config.elastic,
        elastic_width=config.elastic_width,
        stroke_width=drawn(config.stroke_width),
        contrast=drawn(config.contrast),
        noise=drawn((0.0, config.noise)),
        cut_outs=tuple(
            (drawn((0, 1)), drawn((0, 1)), drawn((0, config.cut_out_size)))
            for _ in range(config.cut_outs)
        ),
        seed=int(generator.integers(2**32)),
    )


def distort_line(
    ink: NDArray[np.float32], distortion: ImageDistortion
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return (H, T') ink distorted as drawn, and the (T',) column that each of its came from.

    The middle stays where it was but for the shift. Columns are fractions of pixels of the given
    (H, T) ink, in the middle row, and may lie a little off its edges.
    """
    height, width = ink.shape
    elastic, noise = np.random.default_rng(distortion.seed).spawn(2)
    num_columns = max(1, round(width * distortion.width_factor))
    x, y = _places(height, width, num_columns, distortion)
    if distortion.elastic:
        shift = _smooth_shift(height, num_columns, distortion, elastic)
        x, y = x + shift[0], y + shift[1]
    if distortion.stroke_width:
        ink = _thicken(ink, distortion.stroke_width)
    moved = ndimage.map_coordinates(ink, [y, x], order=1, mode="constant", prefilter=False)
    moved *= distortion.contrast
    if distortion.noise:
        moved += noise.standard_normal(moved.shape, dtype=np.float32) * distortion.noise
    np.clip(moved, 0, 1, out=moved)
    for across, down, side in distortion.cut_outs:
        half = side * height / 2
        rows, columns = (
            slice(max(0, round(middle - half)), max(0, round(middle + half)))
            for middle in (down * height, across * num_columns)
        )
        moved[rows, columns] = 0
    return moved, x[height // 2]


def _places(
    height: int, width: int, num_columns: int, distortion: ImageDistortion
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the (H, T') x and y in the given line that each pixel of the new one is drawn from."""
    u = np.arange(num_columns) - (num_columns - 1) / 2
    v = (np.arange(height) - (height - 1) / 2 - distortion.shift * height)[:, None]
    across = (u - distortion.slant * v) / distortion.width_factor
    # Turned about its middle. The ends of a long line would leave the picture: it turns less.
    most = 2 * _WIDEST_TURN * height / width
    turn = min(max(math.tan(math.radians(distortion.rotation_degrees)), -most), most)
    down = v / distortion.scale - turn * across
    return across + turn * down + (width - 1) / 2, down + (height - 1) / 2


def _smooth_shift(
    height: int, width: int, distortion: ImageDistortion, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return a (2, H, T') random shift in x and y that changes over `elastic_width` heights."""
    step = distortion.elastic_width * height
    coarse = generator.standard_normal(
        (2, math.ceil(height / step) + 3, math.ceil(width / step) + 3), dtype=np.float32
    )
    box = (1.0, 1.0, 1.0 + width / step, 1.0 + height / step)
    fields = np.stack(
        [
            np.asarray(
                Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC, box=box)
            )
            for field in coarse
        ]
    )
    power = max(float(np.sqrt(np.mean(np.square(fields)))), 1e-6)
    return fields * np.float32(distortion.elastic * height / power)


def _thicken(ink: NDArray[np.float32], amount: float) -> NDArray[np.float32]:
    """Return ink between itself and what it is with each stroke a pixel wider or narrower."""
    share = np.float32(abs(amount))
    change = ndimage.grey_dilation if amount > 0 else ndimage.grey_erosion
    thick: NDArray[np.float32] = change(ink, size=(3, 3))
    return ink + share * (thick - ink)
