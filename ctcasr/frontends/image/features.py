"""Images of lines to features: a picture -> (T, F) float32, one frame per column of pixels.

The line is made level, upright and of one size (`image_normalisation`) and drawn `height` pixels
high; a frame holds one column from top to bottom, 0 paper and `INK_LEVEL` ink. What is written from
right to left is mirrored, so that frames follow the reading.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ctcasr.errors import ImageError
from ctcasr.frontends.feature_stats import Normalisation
from ctcasr.frontends.framed import FramedConfig
from ctcasr.frontends.image.augmentation import ImageDistortion, distort_line
from ctcasr.frontends.image.line_image import LineImage
from ctcasr.frontends.image.normalisation import ImageStep, measure_line, straighten

MAX_FRAMES = 20_000
"""Most frames of one line: a hundred times as long as high, four times over."""


INK_LEVEL = 4.0
"""What ink counts in features: some 6 % of a line is ink, so that its mean power is about 1."""

_FULL_INK = 255


class ImageFrontendConfig(FramedConfig):
    """How images of lines become features. Section `frontend` of a run's YAML file."""

    kind: Literal["columns"] = "columns"
    """`columns`: the columns of the line's picture."""

    height: int = Field(48, ge=16, le=256)
    """Rows that every line is drawn with, in pixels; its width goes with them."""

    normalisation: tuple[ImageStep, ...] = ("slope", "slant", "size")
    """Steps that make writers alike, in this order: `slope`, `slant`, `size`."""

    mirror: bool = False
    """Columns are read from the right end; `true` where not given and `text.direction` is rtl."""

    normalise: Normalisation = Normalisation.NONE
    """Zero mean and unit variance per row: by `training` statistics, per `utterance`, or `none`."""

    @property
    def num_features(self) -> int:
        """F, the features of a frame."""
        return self.height


@dataclass(frozen=True, slots=True, eq=False)
class PreparedLine:
    """A line that was read and straightened: what does not change from epoch to epoch.

    Attributes:
        pixels: (H, W') uint8, 255 where there is ink; a byte each, since thousands are kept.
        columns: (W',) x of each column in the image that the line was cut out of.
    """

    pixels: NDArray[np.uint8]
    columns: NDArray[np.float32]

    @property
    def ink(self) -> NDArray[np.float32]:
        """(H, W') 0 where there is paper, 1 where there is ink."""
        return np.divide(self.pixels, _FULL_INK, dtype=np.float32)

    @property
    def num_bytes(self) -> int:
        """What it takes in memory."""
        return self.pixels.nbytes + self.columns.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class ImageFrames:
    """The features of one line, and where each frame came from.

    Attributes:
        features: (T, F) columns in reading order, each from top to bottom; 0 to `INK_LEVEL`.
        columns: (T,) x of each frame in the image that the line was cut out of, in pixels.
    """

    features: NDArray[np.float32]
    columns: NDArray[np.float32]

    @property
    def ink(self) -> NDArray[np.float32]:
        """(T, F) the same from 0, paper, to 1, ink."""
        return self.features / np.float32(INK_LEVEL)


def prepare_line(image: LineImage, config: ImageFrontendConfig, *, item: str) -> PreparedLine:
    """Return a line as it was read, straightened and drawn at the height of the features.

    Raises:
        ImageError: more than `MAX_FRAMES` columns.
    """
    shape = measure_line(image, config.normalisation)
    width = image.width * config.height / shape.extent
    if width > MAX_FRAMES:
        raise ImageError(
            f"{item}: {image.width:,} x {image.height:,} px would be {width:,.0f} px wide at a "
            f"height of {config.height}, at most {MAX_FRAMES:,} are read; cut the line into pieces"
        )
    ink, columns = straighten(image, shape, height=config.height)
    pixels = np.rint(ink * _FULL_INK).astype(np.uint8)
    return PreparedLine(pixels, (columns + image.left).astype(np.float32))


def image_frames(
    prepared: PreparedLine,
    config: ImageFrontendConfig,
    *,
    distortion: ImageDistortion | None = None,
) -> ImageFrames:
    """Return the features of one line, at least one frame.

    Args:
        prepared: by `prepare_line`, with the same configuration.
        config: which features.
        distortion: what is done to the straightened line while training.
    """
    ink, columns = prepared.ink, prepared.columns
    if distortion is not None:
        ink, came_from = distort_line(ink, distortion)
        columns = np.interp(came_from, np.arange(len(columns)), columns).astype(np.float32)
    features = np.ascontiguousarray(ink.T) * np.float32(INK_LEVEL)
    if config.mirror:
        features, columns = features[::-1].copy(), columns[::-1].copy()
    return ImageFrames(features, columns)
