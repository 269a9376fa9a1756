"""Draw docs/line-normalisation.svg: a line's image before and after each step of normalisation.

python docs/draw_lines.py
"""

import math
from pathlib import Path

import numpy as np

from ctcasr.frontends.image.line_image import LineImage, level_paper
from ctcasr.frontends.image.normalisation import ImageStep, measure_line, straighten
from ctcasr.frontends.ink.normalisation import rotate, shear
from ctcasr.reporting.html.views import Box, LinePicture
from tests.image_cases import draw_ink
from tests.ink_letters import write_letters

PAGE = Path(__file__).with_name("line-normalisation.svg")
STEPS: tuple[ImageStep, ...] = ("slope", "slant", "size")

_WIDTH, _HEIGHT, _LEFT = 760, 96, 110
_STYLE = "text { font: 13px sans-serif; fill: #444 } rect { fill: #fff; stroke: #bbb }"


def make_line() -> LineImage:
    """Return a line that goes uphill and leans over, on paper that gets darker to the right."""
    ink = write_letters("volt till it lit oil to vilt", seed=4, size=14.0)
    ink = ink.moved(rotate(shear(ink.points, -0.4), math.radians(-4.0)))
    ink = ink.moved(ink.points - ink.points.min(axis=0) + 20)
    width, height = (int(most) + 20 for most in ink.points.max(axis=0))
    light = np.linspace(1.0, 0.7, width)
    grey = (draw_ink(ink, width=width, height=height) * light).astype(np.uint8)
    return LineImage.checked(level_paper(grey), item="line")


def render() -> str:
    """Return the picture: a row for the line as it was read, and one for it after each step."""
    line = make_line()
    rows = [("levelled", STEPS[:0]), *((STEPS[at], STEPS[: at + 1]) for at in range(len(STEPS)))]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {len(rows) * _HEIGHT}">',
        f"<style>{_STYLE}</style>",
    ]
    for number, (name, steps) in enumerate(rows):
        top = number * _HEIGHT + 4
        box = Box(_LEFT, top, _WIDTH - _LEFT - 4, _HEIGHT - 8)
        ink, _ = straighten(line, measure_line(line, steps), height=64)
        parts.append(f'<rect x="{_LEFT}" y="{top}" width="{box.width}" height="{box.height}"/>')
        parts.append(f'<text x="{_LEFT - 10}" y="{top + 48}" text-anchor="end">{name}</text>')
        parts += LinePicture(ink.T).draw(box)
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8", newline="\n")
