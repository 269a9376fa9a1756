"""A hand made for tests: five letters as pen strokes, a little different each time."""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from ctcasr.frontends.ink.strokes import Ink

_TURN = np.linspace(0, 2 * np.pi, 16)
GLYPHS: dict[str, list[list[tuple[float, float]]]] = {
    "l": [[(0, -2), (0, 0)]],
    "v": [[(0, -1), (0.4, 0), (0.8, -1)]],
    "o": [[(0.5 + 0.5 * np.sin(a), -0.5 - 0.5 * np.cos(a)) for a in _TURN]],
    "t": [[(0.3, -1.8), (0.3, 0), (0.6, 0)], [(0, -1), (0.7, -1)]],
    "i": [[(0, -1), (0, 0)], [(0, -1.6)]],
}
"""Strokes of each letter; a small letter is 1 high, y grows down, the baseline is 0."""

INK_TEXTS = ["till", "volt tilt", "lot", "vilt ot", "tot oil", "il", "vol", "vi lo to"]


def write_letters(text: str, *, seed: int, size: float = 20.0) -> Ink:
    """Return the ink of a text."""
    generator = np.random.default_rng(seed)
    strokes: list[NDArray[np.float64]] = []
    left = 0.0
    for letter in text:
        if letter == " ":
            left += 1.4
            continue
        glyph = [np.array(stroke, dtype=np.float64) for stroke in GLYPHS[letter]]
        for corners in glyph:
            at = np.linspace(0, len(corners) - 1, 1 + 6 * (len(corners) - 1))
            known = np.arange(len(corners))
            path = np.stack([np.interp(at, known, corners[:, axis]) for axis in (0, 1)], axis=1)
            path += generator.normal(0, 0.02, path.shape) + np.array([left, 0.0])
            strokes.append(size * path)
        left += max(float(corners[:, 0].max()) for corners in glyph) + 0.5
    return Ink.from_strokes(strokes, item=text)


def write_inkml(path: Path, lines: Sequence[tuple[Ink, str | None]]) -> None:
    """Write an InkML file with a traceGroup, and a truth where there is one, for each line."""
    parts = ['<ink xmlns="http://www.w3.org/2003/InkML">']
    for number, (ink, truth) in enumerate(lines):
        parts.append(f'<traceGroup xml:id="line{number}">')
        if truth is not None:
            parts.append(f'<annotation type="truth">{escape(truth)}</annotation>')
        for stroke in ink.strokes():
            points = ", ".join(f"{x:.2f} {y:.2f}" for x, y in stroke)
            parts.append(f"<trace>{points}</trace>")
        parts.append("</traceGroup>")
    parts.append("</ink>")
    path.write_text("\n".join(parts), encoding="utf-8")
