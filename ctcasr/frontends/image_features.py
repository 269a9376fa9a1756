"""Images of lines to features: a picture -> (T, F) float32, one frame per column of pixels.

The line is made level, upright and of one size (`image_normalisation`) and drawn `height` pixels
high; a frame holds one column from top to bottom, 0 paper and 1 ink. What is written from right to
left is mirrored, so that frames follow the reading.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ctcasr.errors import ImageError
from ctcasr.frontends.image_augmentation import ImageDistortion, distort_line
from ctcasr.frontends.image_normalisation import ImageStep, measure_line, straighten
from ctcasr.frontends.line_image import LineImage
from ctcasr.settings import Section

MAX_FRAMES = 20_000
"""Most frames of one line: a hundred times as long as high, four times over."""


class ImageFrontendConfig(Section):
    """How images of lines become features. Section `frontend` of a run's YAML file."""

    kind: Literal["columns"] = "columns"
    """`columns`: the columns of the line's picture."""

    height: int = Field(48, ge=16, le=256)
    """Rows that every line is drawn with, in pixels; its width goes with them."""

    normalisation: tuple[ImageStep, ...] = ("slope", "slant", "size")
    """Steps that make writers alike, in this order: `slope`, `slant`, `size`."""

    @property
    def num_features(self) -> int:
        """F, the features of a frame."""
        return self.height


@dataclass(frozen=True, slots=True, eq=False)
class ImageFrames:
    """The features of one line, and where each frame came from.

    Attributes:
        features: (T, F) columns in reading order, each from top to bottom.
        columns: (T,) x of each frame in the image that the line was cut out of, in pixels.
    """

    features: NDArray[np.float32]
    columns: NDArray[np.float64]


def image_frames(
    image: LineImage,
    config: ImageFrontendConfig,
    *,
    item: str,
    right_to_left: bool = False,
    distortion: ImageDistortion | None = None,
) -> ImageFrames:
    """Return the features of one line, at least one frame.

    Args:
        image: as it was read.
        config: which features.
        item: named in errors.
        right_to_left: whether it is read from its right end.
        distortion: what is done to the straightened line while training.

    Raises:
        ImageError: more than `MAX_FRAMES` frames.
    """
    shape = measure_line(image, config.normalisation)
    if image.width * config.height / shape.extent > MAX_FRAMES:
        raise ImageError(
            f"{item}: {image.width:,} x {image.height:,} px would be "
            f"{image.width * config.height / shape.extent:,.0f} px wide at a height of "
            f"{config.height}, at most {MAX_FRAMES:,} are read; cut the line into pieces"
        )
    ink, columns = straighten(image, shape, height=config.height)
    if distortion is not None:
        ink, came_from = distort_line(ink, distortion)
        columns = np.interp(came_from, np.arange(len(columns)), columns)
    features = np.ascontiguousarray(ink.T)
    if right_to_left:
        features, columns = features[::-1].copy(), columns[::-1]
    return ImageFrames(features, columns + image.left)
