"""One utterance as a picture: what was read, label posteriors, and where each text lies on them.

Reports and `ctcasr show` draw with this. Of a recording the axis is time; of pen strokes, the
frames along the pen's way. A label of an alignment stands where the network gives it, which is
inside its sound or its strokes and not at their edges.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ctcasr.reporting.html.views import AttentionMatrix, Box, View
from ctcasr.reporting.tables import visible

_WIDTH, _LEFT, _RIGHT = 960, 92, 18
_PICTURE, _POSTERIORS, _ROW, _GAP, _AXIS = 130, 110, 22, 6, 34
_NOTABLE = 0.2  # posterior above which a label is drawn though neither text has it
_MOST_LINES = 14
_TICKS = 8


@dataclass(frozen=True, slots=True)
class AlignedText:
    """A text on the axis.

    Attributes:
        name: what it is, "reference" or "output".
        labels: (label, where it begins, where it ends) each.
        missing: why there are none; "" where there are.
    """

    name: str
    labels: tuple[tuple[str, float, float], ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """What there is to draw.

    Attributes:
        extent: length of the axis.
        view: what was read.
        posteriors: (T', V) probabilities.
        labels: V labels.
        blank: the column of blank.
        frame_shift: from one row of `posteriors` to the next, on the axis.
        texts: drawn from top to bottom, around the posteriors.
        unit: of the axis.
        attention: where a decoder looked for each label that it wrote; None without one.
    """

    extent: float
    view: View
    posteriors: NDArray[np.float32]
    labels: Sequence[str]
    blank: int
    frame_shift: float
    texts: tuple[AlignedText, ...]
    unit: str = "s"
    attention: AttentionMatrix | None = None


def draw_utterance(picture: Picture, *, title: str) -> Markup:
    """Return a picture as SVG.

    Args:
        picture: what there is to draw.
        title: for those who cannot see it.
    """
    top = _GAP
    parts: list[str] = []
    parts += _draw_view(picture, top)
    top += _PICTURE + _GAP
    for text in picture.texts[:1]:
        parts += _draw_text(picture, text, top)
        top += _ROW
    if picture.posteriors.shape[1]:  # some model hears labels in frames
        parts += _draw_posteriors(picture, top)
        top += _POSTERIORS + _GAP
    if picture.attention is not None:
        parts += _draw_attention(picture, picture.attention, top)
        top += picture.attention.height + _GAP
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


def _x(picture: Picture, position: float) -> float:
    share = min(position / max(picture.extent, 1e-9), 1.0)  # the last frame may be half empty
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share


def _draw_view(picture: Picture, top: float) -> list[str]:
    box = Box(_LEFT, top, _WIDTH - _LEFT - _RIGHT, _PICTURE)
    return [
        _name(picture.view.name, top + _PICTURE / 2),
        *picture.view.draw(box),
        _frame(top, _PICTURE),
    ]


def _draw_posteriors(picture: Picture, top: float) -> list[str]:
    parts = [_name("posteriors", top + _POSTERIORS / 2), _frame(top, _POSTERIORS)]
    probs = picture.posteriors
    if not len(probs):
        return parts
    times = [(frame + 0.5) * picture.frame_shift for frame in range(len(probs))]
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


def _draw_attention(picture: Picture, matrix: AttentionMatrix, top: float) -> list[str]:
    right = _x(picture, len(matrix.weights[0]) * picture.frame_shift)
    box = Box(_LEFT, top, right - _LEFT, matrix.height)
    names = [(matrix.name, matrix.height / 2)] if matrix.name else matrix.rows
    beside = [_name(escape(visible(label)), top + middle) for label, middle in names]
    return [*beside, *matrix.draw(box), _frame(top, matrix.height)]


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
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)
    if picture.unit != "s":
        steps = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
    step = next((s for s in steps if picture.extent / s <= _TICKS), 2 * steps[-1])
    parts = ['<g class="axis">']
    grid_top = _GAP if picture.view.is_on_axis else _GAP + _PICTURE
    for index in range(int(picture.extent / step + 1e-9) + 1):
        at = _x(picture, index * step)
        parts.append(
            f'<line class="grid" x1="{at:.1f}" y1="{grid_top}" x2="{at:.1f}" y2="{top + 3}" '
            f'stroke-opacity=".6"/>'
        )
        parts.append(
            f'<text x="{at:.1f}" y="{top + 16}" text-anchor="middle">'
            f"{_tick(picture, index, step)}</text>"
        )
    return [*parts, "</g>"]


def _tick(picture: Picture, index: int, step: float) -> str:
    """Return what stands at a tick; a long unit at the first one only."""
    if picture.unit == "s" or index == 0:
        return f"{index * step:g} {picture.unit}"
    return f"{index * step:g}"


def _name(name: str, y: float) -> str:
    return f'<text class="soft" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{name}</text>'


def _frame(top: float, height: float) -> str:
    width = _WIDTH - _LEFT - _RIGHT
    return f'<rect class="frame" x="{_LEFT}" y="{top}" width="{width}" height="{height}"/>'
