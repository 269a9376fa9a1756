"""The panels of an utterance's picture: what a recognizer was given, and where it looked.

Spectrogram        a recording: dark is loud, low is low
WrittenLine        pen strokes as they were sampled, with the way of the pen in the air
LinePicture        the image of a line, straightened; its columns stand on the axis
AttentionMatrix    a row for each label that a decoder wrote: the darker, the more it looked there

Stripes that go down to the right are a reader; a row that is grey all over has seen nothing, and
stripes that go back read something twice.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ctcasr.reporting.tables import visible

_MOST_COLUMNS = 1600  # of the spectrogram; longer ones lose time resolution
_RANGE_DB = 70.0
_MARGIN, _LABELS = 6, 18  # around ink; below it, for the labels
_ROW_HEIGHT, _HIGHEST_MATRIX = 11, 440


@dataclass(frozen=True, slots=True)
class Box:
    """Where a panel lies in a picture, in its units."""

    left: float
    top: float
    width: float
    height: float


class View(Protocol):
    """A panel."""

    @property
    def name(self) -> str:
        """What stands beside it."""

    @property
    def is_on_axis(self) -> bool:
        """Whether it runs along the axis of what is drawn below."""

    def draw(self, box: Box) -> list[str]:
        """Return its SVG elements."""


@dataclass(frozen=True, slots=True)
class Spectrogram:
    """A recording.

    Attributes:
        power: (T, F) natural-log power, low frequencies first.
    """

    power: NDArray[np.float32]

    @property
    def name(self) -> str:
        """What stands beside it."""
        return "spectrogram"

    @property
    def is_on_axis(self) -> bool:
        """Whether it runs along the axis: it does."""
        return True

    def draw(self, box: Box) -> list[str]:
        """Return an image that fills the box."""
        if not self.power.size:
            return []
        data = base64.b64encode(_png(self.power)).decode("ascii")
        element = (
            f'<image class="spectrogram" x="{box.left}" y="{box.top}" width="{box.width}" '
            f'height="{box.height}" preserveAspectRatio="none" '
            f'href="data:image/png;base64,{data}"/>'
        )
        return [element]


@dataclass(frozen=True, slots=True)
class WrittenLine:
    """Pen strokes.

    Attributes:
        strokes: (n, 2) points of each, x right and y down.
        labels: what was read, and the x at which the network gives it.
    """

    strokes: Sequence[NDArray[np.float64]]
    labels: Sequence[tuple[str, float]] = ()

    @property
    def name(self) -> str:
        """What stands beside it."""
        return "ink"

    @property
    def is_on_axis(self) -> bool:
        """Whether it runs along the axis: the pen goes back and forth."""
        return False

    def draw(self, box: Box) -> list[str]:
        """Return the strokes, as large as they fit without distortion, and labels below."""
        if not self.strokes:
            return []
        points = np.concatenate(self.strokes)
        low, size = points.min(axis=0), np.ptp(points, axis=0)
        room = (box.width - 2 * _MARGIN, box.height - 2 * _MARGIN - _LABELS)
        scale = min(each / max(extent, 1e-9) for each, extent in zip(room, size, strict=True))
        scale = min(scale, room[1] / 1.0)  # a dot does not fill the panel
        rest = (room[1] - scale * size[1]) / 2
        corner = np.array([box.left + _MARGIN, box.top + _MARGIN + rest])

        def place(point: NDArray[np.float64]) -> str:
            x, y = corner + scale * (point - low)
            return f"{x:.1f},{y:.1f}"

        parts = []
        for before, after in zip(self.strokes, self.strokes[1:], strict=False):
            parts.append(
                f'<polyline class="guide" stroke-opacity=".5" '
                f'points="{place(before[-1])} {place(after[0])}"/>'
            )
        for stroke in self.strokes:
            path = " ".join(place(point) for point in stroke)
            if len(stroke) == 1:
                x, y = path.split(",")
                parts.append(f'<circle class="ink-dot" cx="{x}" cy="{y}" r="1.2"/>')
            else:
                parts.append(f'<polyline class="ink" points="{path}"/>')
        bottom = box.top + box.height - 5
        for label, at in self.labels:
            x = box.left + _MARGIN + scale * (at - low[0])
            parts.append(
                f'<text class="soft" x="{x:.1f}" y="{bottom:.1f}" text-anchor="middle">'
                f"{escape(visible(label))}</text>"
            )
        return parts


@dataclass(frozen=True, slots=True)
class AttentionMatrix:
    """Where a decoder looked.

    Attributes:
        weights: (U, T) shares of each label's attention, U at least 1.
        labels: U of them, from top to bottom.
    """

    weights: NDArray[np.float64]
    labels: Sequence[str]

    @property
    def height(self) -> int:
        """In units of the picture."""
        return min(_HIGHEST_MATRIX, _ROW_HEIGHT * len(self.labels))

    @property
    def name(self) -> str:
        """What stands beside it, where the rows are too low for their labels; "" where not."""
        return "attention" if self.height < _ROW_HEIGHT * len(self.labels) else ""

    @property
    def rows(self) -> list[tuple[str, float]]:
        """Each row's label, and how far its middle is below the top."""
        row = self.height / len(self.labels)
        return [(label, (number + 0.5) * row) for number, label in enumerate(self.labels)]

    def draw(self, box: Box) -> list[str]:
        """Return an image that fills the box."""
        shade = np.round(255 * (1 - np.clip(self.weights, 0, 1))).astype(np.uint8)
        content = io.BytesIO()
        Image.fromarray(shade).save(content, format="PNG", optimize=True)
        data = base64.b64encode(content.getvalue()).decode("ascii")
        element = (
            f'<image class="spectrogram attention" x="{box.left}" y="{box.top}" '
            f'width="{box.width:.1f}" height="{box.height}" preserveAspectRatio="none" '
            f'href="data:image/png;base64,{data}"/>'
        )
        return [element]


@dataclass(frozen=True, slots=True)
class LinePicture:
    """The image of a line.

    Attributes:
        columns: (T, H) in the order of reading, each from top to bottom; 0 paper, 1 ink.
    """

    columns: NDArray[np.float32]

    @property
    def name(self) -> str:
        """What stands beside it."""
        return "line"

    @property
    def is_on_axis(self) -> bool:
        """Whether it runs along the axis: it does."""
        return True

    def draw(self, box: Box) -> list[str]:
        """Return an image as wide as the box, and as high as it then is, if that fits."""
        if not self.columns.size:
            return []
        num_columns, num_rows = self.columns.shape
        height = min(box.height, num_rows * box.width / num_columns)
        top = box.top + (box.height - height) / 2
        pixels = np.round(255 * (1 - self.columns.T)).astype(np.uint8)
        content = io.BytesIO()
        Image.fromarray(pixels).quantize(16).save(content, format="PNG", optimize=True)
        data = base64.b64encode(content.getvalue()).decode("ascii")
        element = (
            f'<image class="line-image" x="{box.left}" y="{top:.1f}" width="{box.width}" '
            f'height="{height:.1f}" preserveAspectRatio="none" '
            f'href="data:image/png;base64,{data}"/>'
        )
        return [element]


def _png(power: NDArray[np.float32]) -> bytes:
    """Return log power as an image: dark is loud, low is low."""
    step = -(-len(power) // _MOST_COLUMNS)
    decibels = 10 / np.log(10) * power[::step]
    loudest = float(np.percentile(decibels, 99.5))
    shade = np.clip((loudest - decibels) / _RANGE_DB, 0, 1)
    pixels = np.round(255 * shade).astype(np.uint8).T[::-1]
    content = io.BytesIO()
    Image.fromarray(pixels).quantize(32).save(content, format="PNG", optimize=True)
    return content.getvalue()
