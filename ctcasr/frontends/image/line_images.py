"""Images of lines as a medium: what is kept is the straightened line, what is varied its picture.

A line is read and straightened once; each epoch distorts it anew. A frame of the signal is a column
of pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ctcasr.frontends.feature_distortion import FeatureDistortion
from ctcasr.frontends.image.augmentation import (
    ImageAugmentConfig,
    ImageDistortion,
    draw_image_distortion,
)
from ctcasr.frontends.image.features import (
    ImageFrames,
    ImageFrontendConfig,
    PreparedLine,
    image_frames,
    prepare_line,
)
from ctcasr.frontends.image.line_image import LineImage, read_line_image
from ctcasr.frontends.medium import Medium, Signal
from ctcasr.manifest.utterance import Modality, Utterance


class LineImages(Medium[PreparedLine, ImageDistortion]):
    """Images of lines: (N, F) columns."""

    modality = Modality.IMAGE
    unit = "px"

    def __init__(self, frontend: ImageFrontendConfig, augment: ImageAugmentConfig) -> None:
        self._frontend = frontend
        self._augment = augment
        self.rate = frontend.rate

    def measure(self, utterance: Utterance) -> float:
        """Return the number of columns; all of the line is read for it."""
        return len(self.load(utterance).columns) / self.rate

    def load(self, utterance: Utterance) -> PreparedLine:
        """Return the straightened line."""
        image = read_line_image(utterance.path, item=utterance.id, polygon=utterance.polygon)
        return self.prepare(image, item=utterance.id)

    def prepare(self, image: LineImage, *, item: str) -> PreparedLine:
        """Return the straightened line; `item` is named in errors."""
        return prepare_line(image, self._frontend, item=item)

    def frames(self, loaded: PreparedLine) -> ImageFrames:
        """Return the features, and which columns they are of."""
        return image_frames(loaded, self._frontend)

    def num_bytes(self, loaded: PreparedLine) -> int:
        """Return what pixels and their origin take."""
        return loaded.num_bytes

    def signal(self, loaded: PreparedLine) -> Signal:
        """Return (N, F) columns."""
        return self.frames(loaded).features

    def is_empty(self, signal: Signal) -> bool:
        """Return whether there is no ink at all."""
        return not signal.any()

    def draw(self, *, seed: int, epoch: int, item: str) -> ImageDistortion:
        """Draw slant, size, elastic shift and the rest."""
        return draw_image_distortion(self._augment, seed=seed, epoch=epoch, item=item)

    def unhurried(self, drawn: ImageDistortion) -> ImageDistortion:
        """Return it at its own width, if it was to be narrower."""
        return replace(drawn, stretch=max(drawn.stretch, 1 / drawn.scale))

    def planned_amount(
        self, amounts: Sequence[float], pauses_ms: Sequence[float], drawn: ImageDistortion
    ) -> float:
        """Return columns at another width."""
        return sum(amounts) * drawn.width_factor

    def make(
        self,
        parts: Sequence[PreparedLine],
        pauses_ms: Sequence[float],
        drawn: ImageDistortion,
        *,
        suffices: Callable[[int], bool],
    ) -> Signal:
        """Return (N, F) columns; where they are too few, those of the line as it is."""
        (only,) = parts
        features = image_frames(only, self._frontend, distortion=drawn).features
        return features if suffices(len(features)) else self.signal(only)

    def feature_distortion(
        self, drawn: Sequence[ImageDistortion], lengths: Sequence[int]
    ) -> FeatureDistortion | None:
        """Return nothing: a line is varied before it becomes features."""
        return None
