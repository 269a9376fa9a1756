"""Draw docs/ink-normalisation.svg: a line of ink before and after each step of normalisation.

python docs/draw_ink.py
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctcasr.frontends.ink.normalisation import InkStep, normalise_ink, rotate, shear
from ctcasr.frontends.ink.strokes import Ink
from ctcasr.reporting.html.views import Box, WrittenLine
from tests.ink_letters import write_letters

PAGE = Path(__file__).with_name("ink-normalisation.svg")
STEPS: tuple[InkStep, ...] = ("outliers", "slope", "slant", "size")

_WIDTH, _HEIGHT, _LEFT = 760, 96, 110
_STYLE = (
    "text { font: 13px sans-serif; fill: #444 } "
    ".ink { fill: none; stroke: #111; stroke-width: 1.3 } "
    ".ink-dot { fill: #111 } .guide { fill: none; stroke: #999; stroke-dasharray: 3 3 } "
    "rect { fill: #fff; stroke: #bbb }"
)


def make_line() -> Ink:
    """Return a line that goes uphill, leans over and has a stray stroke far below."""
    ink = write_letters("volt till it lit oil to vilt", seed=4, size=20.0)
    points = rotate(shear(ink.points, -0.45), math.radians(-6.0))
    stray = np.array([[420.0, 240.0], [450.0, 246.0]])
    strokes: Sequence[NDArray[np.float64]] = [*ink.moved(points).strokes(), stray]
    return Ink.from_strokes(strokes, item="line")


def render() -> str:
    """Return the picture: a row for the ink as it is, and one for the ink after each step."""
    line = make_line()
    rows = [("as written", line)]
    rows += [
        (STEPS[count - 1], normalise_ink(line, STEPS[:count])[0])
        for count in range(1, len(STEPS) + 1)
    ]
    height = len(rows) * _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}">',
        f"<style>{_STYLE}</style>",
    ]
    for number, (name, ink) in enumerate(rows):
        top = number * _HEIGHT + 4
        box = Box(_LEFT, top, _WIDTH - _LEFT - 4, _HEIGHT - 8)
        parts.append(f'<rect x="{_LEFT}" y="{top}" width="{box.width}" height="{box.height}"/>')
        parts.append(f'<text x="{_LEFT - 10}" y="{top + 48}" text-anchor="end">{name}</text>')
        parts += WrittenLine(tuple(ink.strokes())).draw(box)
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8", newline="\n")
