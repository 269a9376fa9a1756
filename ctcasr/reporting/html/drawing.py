"""One utterance as a picture: spectrogram, label posteriors, and where each text lies on them.

Reports and `ctcasr show` draw with this. The time axis is the recording's; a label of an alignment
stands where the network gives it, which is inside its sound and not at its edges.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from ctcasr.reporting.tables import visible

_WIDTH, _LEFT, _RIGHT = 960, 92, 18
_PICTURE, _POSTERIORS, _ROW, _GAP, _AXIS = 130, 110, 22, 6, 34
_MOST_COLUMNS = 1600  # of the spectrogram; longer ones lose time resolution
_LOUD_DB, _RANGE_DB = 0.0, 70.0
_NOTABLE = 0.2  # posterior above which a label is drawn though neither text has it
_MOST_LINES = 14
_TICKS = 8


@dataclass(frozen=True, slots=True)
class AlignedText:
    """A text on the time axis.

    Attributes:
        name: what it is, "reference" or "output".
        labels: (label, first second, last second) each.
        missing: why there are none; "" where there are.
    """

    name: str
    labels: tuple[tuple[str, float, float], ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """What there is to draw.

    Attributes:
        seconds: duration of the recording.
        spectrogram: (T, F) natural-log power, low frequencies first.
        posteriors: (T', V) probabilities.
        labels: V labels.
        blank: the column of blank.
        frame_s: seconds from one row of `posteriors` to the next.
        texts: drawn from top to bottom, around the posteriors.
    """

    seconds: float
    spectrogram: NDArray[np.float32]
    posteriors: NDArray[np.float32]
    labels: Sequence[str]
    blank: int
    frame_s: float
    texts: tuple[AlignedText, ...]


def draw_utterance(picture: Picture, *, title: str) -> Markup:
    """Return a picture as SVG.

    Args:
        picture: what there is to draw.
        title: for those who cannot see it.
    """
    top = _GAP
    parts: list[str] = []
    parts += _draw_spectrogram(picture, top)
    top += _PICTURE + _GAP
    for text in picture.texts[:1]:
        parts += _draw_text(picture, text, top)
        top += _ROW
    parts += _draw_posteriors(picture, top)
    top += _POSTERIORS + _GAP
    for text in picture.texts[1:]:
        parts += _draw_text(picture, text, top)
        top += _ROW
    parts += _draw_time(picture, top)
    height = top + _AXIS
    head = (
        f'<svg class="utterance-picture" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">'
    )
    body = [head, f"<title>{escape(title)}</title>", *parts, "</svg>"]
    return Markup("\n".join(body))  # every text in it is escaped


def _x(picture: Picture, second: float) -> float:
    share = min(second / max(picture.seconds, 1e-9), 1.0)  # the last frame may be half empty
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share


def _draw_spectrogram(picture: Picture, top: float) -> list[str]:
    parts = [_name("spectrogram", top + _PICTURE / 2)]
    if picture.spectrogram.size:
        data = base64.b64encode(_png(picture.spectrogram)).decode("ascii")
        parts.append(
            f'<image class="spectrogram" x="{_LEFT}" y="{top}" width="{_WIDTH - _LEFT - _RIGHT}" '
            f'height="{_PICTURE}" preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
        )
    parts.append(_frame(top, _PICTURE))
    return parts


def _png(spectrogram: NDArray[np.float32]) -> bytes:
    """Return log power as an image: dark is loud, low is low."""
    step = -(-len(spectrogram) // _MOST_COLUMNS)
    decibels = 10 / np.log(10) * spectrogram[::step]
    loudest = float(np.percentile(decibels, 99.5))
    shade = np.clip((loudest - decibels) / _RANGE_DB, 0, 1)
    pixels = np.round(255 * shade).astype(np.uint8).T[::-1]
    content = io.BytesIO()
    Image.fromarray(pixels).quantize(32).save(content, format="PNG", optimize=True)
    return content.getvalue()


def _draw_posteriors(picture: Picture, top: float) -> list[str]:
    parts = [_name("posteriors", top + _POSTERIORS / 2), _frame(top, _POSTERIORS)]
    probs = picture.posteriors
    if not len(probs):
        return parts
    times = [(frame + 0.5) * picture.frame_s for frame in range(len(probs))]
    blank = _path(picture, times, probs[:, picture.blank], top)
    parts.append(f'<polyline class="guide" points="{blank}"><title>blank</title></polyline>')
    for number, column in enumerate(_columns_to_draw(picture)):
        at = int(probs[:, column].argmax())
        label = escape(visible(picture.labels[column]))
        line = _path(picture, times, probs[:, column], top)
        parts.append(
            f'<polyline class="line s{number % 6}" points="{line}">'
            f"<title>{label}</title></polyline>"
        )
        parts.append(
            f'<text class="f{number % 6}" x="{_x(picture, times[at]):.1f}" '
            f'y="{top + 11 + (1 - probs[at, column]) * (_POSTERIORS - 14):.1f}" '
            f'text-anchor="middle">{label}</text>'
        )
    return parts


def _columns_to_draw(picture: Picture) -> list[int]:
    """Return the labels of the texts and the likely rivals, the surest first."""
    peaks = picture.posteriors.max(axis=0)
    in_texts = {label for text in picture.texts for label, _, _ in text.labels}
    wanted = [
        column
        for column, label in enumerate(picture.labels)
        if column != picture.blank and (label in in_texts or peaks[column] >= _NOTABLE)
    ]
    return sorted(wanted, key=lambda column: -peaks[column])[:_MOST_LINES]


def _path(picture: Picture, times: Sequence[float], values: NDArray[np.float32], top: float) -> str:
    """Return the points of a line; where it stays flat, the ends only."""
    heights = np.round(top + _POSTERIORS * (1 - values.astype(np.float64)), 1)
    points = []
    for at, height in enumerate(heights):
        is_flat = 0 < at < len(heights) - 1 and heights[at - 1] == height == heights[at + 1]
        if not is_flat:
            points.append(f"{_x(picture, times[at]):.1f},{height:g}")
    return " ".join(points)


def _draw_text(picture: Picture, text: AlignedText, top: float) -> list[str]:
    parts = [_name(text.name, top + _ROW / 2)]
    if text.missing:
        parts.append(
            f'<text class="soft" x="{_LEFT + 4}" y="{top + 15}">{escape(text.missing)}</text>'
        )
    for label, start, end in text.labels:
        left, right = _x(picture, start), _x(picture, end)
        parts.append(
            f'<rect class="span" x="{left:.1f}" y="{top + 1}" width="{max(right - left, 1.5):.1f}" '
            f'height="{_ROW - 3}"/>'
        )
        parts.append(
            f'<text x="{(left + right) / 2:.1f}" y="{top + 15}" text-anchor="middle">'
            f"{escape(visible(label))}</text>"
        )
    return parts


def _draw_time(picture: Picture, top: float) -> list[str]:
    step = next(
        (s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300) if picture.seconds / s <= _TICKS), 600
    )
    parts = ['<g class="axis">']
    for index in range(int(picture.seconds / step + 1e-9) + 1):
        at = _x(picture, index * step)
        parts.append(
            f'<line class="grid" x1="{at:.1f}" y1="{_GAP}" x2="{at:.1f}" y2="{top + 3}" '
            f'stroke-opacity=".6"/>'
        )
        parts.append(
            f'<text x="{at:.1f}" y="{top + 16}" text-anchor="middle">{index * step:g} s</text>'
        )
    return [*parts, "</g>"]


def _name(name: str, y: float) -> str:
    return f'<text class="soft" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{name}</text>'


def _frame(top: float, height: float) -> str:
    width = _WIDTH - _LEFT - _RIGHT
    return f'<rect class="frame" x="{_LEFT}" y="{top}" width="{width}" height="{height}"/>'
