"""Ink drawn as images of lines, as if the whiteboard had been photographed.

The pen is round and 2 px wide where the small letters are 18 px high; edges are grey, as paper that
was scanned has them. Ids stay, so that results on ink and on its image can be compared line by
line.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ctcasr.frontends.ink.files import read_ink
from ctcasr.frontends.ink.normalisation import text_lines
from ctcasr.frontends.ink.strokes import Ink
from ctcasr.manifest import Modality, read_manifest, write_manifest

LETTER_PX = 18
PEN_PX = 2.0

_FINER = 4  # drawn so many times larger, then averaged
_MARGIN_PX = 6
_MOST_PX = 8_000  # of a side: a line with a stray stroke is drawn smaller


def render_manifest(manifest: Path, out: Path) -> Path:
    """Draw each item of a manifest of ink and return the manifest of the images, beside it.

    Args:
        manifest: of ink.
        out: folder for the images; those that are there already are kept.

    Raises:
        InkError: an item cannot be read.
        ManifestError: the manifest cannot be read.
    """
    out.mkdir(parents=True, exist_ok=True)
    drawn = []
    for item in read_manifest(manifest):
        path = out / f"{item.id}.png"
        if not path.exists():
            ink = read_ink(item.path, item=item.id, index=item.index, traces=item.traces)
            draw(ink).save(path)
        drawn.append(
            replace(item, path=path, modality=Modality.IMAGE, index=None, traces=None, source=None)
        )
    images = manifest.with_name(f"{manifest.stem}-images.jsonl")
    write_manifest(images, drawn)
    return images


def draw(ink: Ink) -> Image.Image:
    """Return ink as a grey image, black on white."""
    _, letter = text_lines(ink)
    low, size = ink.points.min(axis=0), np.ptp(ink.points, axis=0)
    scale = min(LETTER_PX / letter, _MOST_PX / max(float(size.max()), 1.0))
    width, height = (int(np.ceil(each)) + 2 * _MARGIN_PX for each in scale * size)
    canvas = Image.new("L", (width * _FINER, height * _FINER), 255)
    pen = ImageDraw.Draw(canvas)
    pen_px = PEN_PX * _FINER
    for stroke in ink.strokes():
        points = [(float(x), float(y)) for x, y in _FINER * (scale * (stroke - low) + _MARGIN_PX)]
        pen.line(points, fill=0, width=round(pen_px), joint="curve")
        for x, y in (points[0], points[-1]):  # round ends; a dot is nothing else
            pen.ellipse((x - pen_px / 2, y - pen_px / 2, x + pen_px / 2, y + pen_px / 2), fill=0)
    return canvas.resize((width, height), Image.Resampling.BOX)
