"""Charts as inline SVG: lines, points with intervals, bars; coloured by the page's style.

A chart carries a title for those who cannot see it. Its numbers stand in a table beside it wherever
they matter.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

_WIDTH, _HEIGHT = 520, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 16, 44
_LEGEND_LINE = 16
_TICKS = 5

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis.

    Attributes:
        label: what it measures, with the unit.
        low, high: its ends; None leaves room for all that is drawn.
        is_log: whether equal steps are equal factors; all that is drawn is then above 0.
        is_share: whether numbers are fractions to be written in per cent.
    """

    label: str
    low: float | None = None
    high: float | None = None
    is_log: bool = False
    is_share: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """Points joined in order; a gap where a y is None."""

    name: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Dots:
    """Points by themselves.

    Attributes:
        name: in the legend; "" for none.
        points: x, y.
        intervals: as many (low, high) of y, drawn as whiskers; none where not given.
        titles: as many texts that appear under the pointer.
        radius: in pixels.
    """

    name: str
    points: Sequence[Point]
    intervals: Sequence[tuple[float, float] | None] = ()
    titles: Sequence[str] = ()
    radius: float = 3.5


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars from the x axis: (x from, x to, y)."""

    name: str
    bars: Sequence[tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Diagonal:
    """The guide y = x."""


Mark = Line | Dots | Bars | Diagonal


@dataclass(frozen=True, slots=True)
class _Scale:
    """From numbers to pixels along one axis."""

    axis: Axis
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        low, high = self._on(self.low), self._on(self.high)
        share = (self._on(value) - low) / (high - low)
        return self.start + min(max(share, -0.05), 1.05) * (self.end - self.start)

    def _on(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.axis.is_log else value

    def ticks(self) -> list[float]:
        if self.axis.is_log:
            return _log_ticks(self.low, self.high)
        step = _round_step((self.high - self.low) / _TICKS)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(index * step, 12) for index in range(first, last + 1)]

    def write(self, tick: float) -> str:
        return f"{100 * tick:g} %" if self.axis.is_share else _write(tick)


def render_chart(title: str, x: Axis, y: Axis, marks: Sequence[Mark]) -> Markup:
    """Return a chart as SVG; one that has nothing to show says so.

    Args:
        title: what is shown, for those who cannot see it; a caption should say it to all others.
        x: the axis across.
        y: the axis upwards.
        marks: what to draw, each in a colour of its own, in order.
    """
    drawn = [mark for mark in marks if not isinstance(mark, Diagonal)]
    points = [point for mark in drawn for point in _points(mark)]
    if not points:
        return Markup('<p class="soft">Nothing to draw: {}.</p>').format(title)
    named = [(number, mark.name) for number, mark in enumerate(drawn) if mark.name]
    legend = len(named) * _LEGEND_LINE if len(named) > 1 else 0
    height = _HEIGHT + legend
    to_x = _scale(x, [px for px, _ in points], _LEFT, _WIDTH - _RIGHT)
    to_y = _scale(y, [py for _, py in points], height - _BOTTOM, _TOP + legend)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        *_draw_axes(to_x, to_y),
    ]
    if any(isinstance(mark, Diagonal) for mark in marks):
        low, high = max(to_x.low, to_y.low), min(to_x.high, to_y.high)
        parts.append(_segment("guide", to_x(low), to_y(low), to_x(high), to_y(high)))
    for number, mark in enumerate(drawn):
        parts += _DRAW[type(mark)](mark, number % 6, to_x, to_y)
    if legend:
        parts += _draw_legend(named)
    return Markup("\n".join([*parts, "</svg>"]))  # every text in it is escaped


def _points(mark: Line | Dots | Bars) -> list[Point]:
    if isinstance(mark, Line):
        return [(x, y) for x, y in mark.points if y is not None and math.isfinite(y)]
    if isinstance(mark, Bars):
        return [point for left, right, y in mark.bars for point in ((left, 0.0), (right, y))]
    ends = [
        (point[0], end)
        for point, interval in zip(mark.points, mark.intervals, strict=False)
        if interval
        for end in interval
    ]
    return [*mark.points, *ends]


def _scale(axis: Axis, values: Sequence[float], start: float, end: float) -> _Scale:
    if axis.is_log:
        values = [value for value in values if value > 0] or [1.0]
    low = min(values) if axis.low is None else axis.low
    high = max(values) if axis.high is None else axis.high
    if axis.is_log:
        return _Scale(axis, low * 0.9, max(high, low * 1.01) * 1.1, start, end)
    room = 0.04 * (high - low)
    low = low - room if axis.low is None else low
    high = high + room if axis.high is None else high
    if high <= low:
        low, high = low - 0.5, low + 0.5
    return _Scale(axis, low, high, start, end)


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 3 else (1,)
    ticks = [factor * 10.0**power for power in powers for factor in factors]
    return [tick for tick in ticks if low <= tick <= high]


def _write(tick: float) -> str:
    if tick == 0 or 1e-3 <= abs(tick) < 1e5:
        return f"{tick:,g}" if abs(tick) < 1000 else f"{tick:,.0f}"
    return f"{tick:.0e}"


def _draw_axes(to_x: _Scale, to_y: _Scale) -> list[str]:
    left, right, top, bottom = to_x.start, to_x.end, to_y.end, to_y.start
    parts = ['<g class="axis">']
    for tick in to_x.ticks():
        at = to_x(tick)
        parts.append(_segment("grid", at, top, at, bottom))
        parts.append(_text(at, bottom + 16, to_x.write(tick), "middle"))
    for tick in to_y.ticks():
        at = to_y(tick)
        parts.append(_segment("grid", left, at, right, at))
        parts.append(_text(left - 6, at + 4, to_y.write(tick), "end"))
    middle = (top + bottom) / 2
    parts.append(_text((left + right) / 2, bottom + 36, to_x.axis.label, "middle"))
    parts.append(
        f'<text transform="translate(13 {middle:.1f}) rotate(-90)" text-anchor="middle">'
        f"{escape(to_y.axis.label)}</text>"
    )
    parts.append("</g>")
    parts.append(
        f'<rect class="frame" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{bottom - top:.1f}"/>'
    )
    return parts


def _draw_line(mark: Line, colour: int, to_x: _Scale, to_y: _Scale) -> list[str]:
    runs: list[list[str]] = [[]]
    for x, y in mark.points:
        if y is None or not math.isfinite(y):
            runs.append([])
        else:
            runs[-1].append(f"{to_x(x):.1f},{to_y(y):.1f}")
    parts = []
    for run in runs:
        if len(run) == 1:
            across, down = run[0].split(",")
            parts.append(f'<circle class="f{colour}" cx="{across}" cy="{down}" r="3"/>')
        elif run:
            parts.append(f'<polyline class="line s{colour}" points="{" ".join(run)}"/>')
    return parts


def _draw_dots(mark: Dots, colour: int, to_x: _Scale, to_y: _Scale) -> list[str]:
    parts = []
    for index, (x, y) in enumerate(mark.points):
        across, down = to_x(x), to_y(y)
        interval = mark.intervals[index] if index < len(mark.intervals) else None
        if interval:
            low, high = to_y(interval[0]), to_y(interval[1])
            parts.append(_segment(f"whisker s{colour}", across, low, across, high))
        title = mark.titles[index] if index < len(mark.titles) else ""
        inner = f"<title>{escape(title)}</title>" if title else ""
        parts.append(
            f'<circle class="f{colour}" cx="{across:.1f}" cy="{down:.1f}" r="{mark.radius:g}" '
            f'fill-opacity=".8">{inner}</circle>'
        )
    return parts


def _draw_bars(mark: Bars, colour: int, to_x: _Scale, to_y: _Scale) -> list[str]:
    parts = []
    for left, right, y in mark.bars:
        x0, x1, y0, y1 = to_x(left), to_x(right), to_y(0), to_y(y)
        parts.append(
            f'<rect class="f{colour}" x="{min(x0, x1) + 0.5:.1f}" y="{min(y0, y1):.1f}" '
            f'width="{max(abs(x1 - x0) - 1, 0.5):.1f}" height="{abs(y1 - y0):.1f}" '
            f'fill-opacity=".75"/>'
        )
    return parts


_DRAW: dict[type, Callable[..., list[str]]] = {Line: _draw_line, Dots: _draw_dots, Bars: _draw_bars}


def _draw_legend(named: Sequence[tuple[int, str]]) -> list[str]:
    parts = []
    for row, (number, name) in enumerate(named):
        y = 12 + row * _LEGEND_LINE
        parts.append(
            f'<rect class="f{number % 6}" x="{_LEFT}" y="{y - 9}" width="11" height="11" rx="2"/>'
        )
        parts.append(_text(_LEFT + 17, y + 1, name, "start"))
    return parts


def _segment(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
