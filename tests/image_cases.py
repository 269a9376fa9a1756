"""Images made for tests: letters of bars that are much like a line of writing, and drawn ink."""

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ctcasr.frontends.image.line_image import LineImage
from ctcasr.frontends.ink.strokes import Ink
from tests.ink_letters import write_letters

HEIGHT = 80
"""Of the pictures that `draw_line` makes."""


def written_line(
    *,
    letters: int = 30,
    x_height: int = 16,
    slope: float = 0.0,
    slant: float = 0.0,
    margin: int = 60,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Return (H, W) ink: upright bars on a baseline, some tall, some deep, linked below.

    Args:
        letters: how many.
        x_height: of the small ones, in pixels.
        slope: how far down the line goes per pixel to the right.
        slant: how far right its bars go per pixel down.
        margin: of paper about it.
        seed: of which letter is which.
    """
    generator = np.random.default_rng(seed)
    width = letters * x_height + 2 * margin
    rise = math.ceil(abs(slope) * width) + math.ceil(abs(slant) * 3 * x_height)
    height = 5 * x_height + 2 * rise
    ink = np.zeros((height, width), dtype=np.float32)
    base = height / 2 + x_height / 2
    for letter in range(letters):
        left = margin + letter * x_height
        top = -x_height * generator.choice([1.0, 1.0, 1.0, 1.9])
        bottom = x_height * generator.choice([0.0, 0.0, 0.0, 0.9])
        for y in np.arange(top, bottom, 0.25):
            x = left + slant * y
            row = base + y + slope * (x - width / 2)
            ink[round(row), round(x) : round(x) + 3] = 1
        for x in np.arange(left, left + x_height * 0.7, 0.25):
            row = base - 1 + slope * (x - width / 2)
            ink[round(row) : round(row) + 2, round(x)] = 1
    return ink


def line_image(**values) -> LineImage:
    """Return the same as a checked image."""
    return LineImage.checked(written_line(**values), item="line")


def any_line() -> st.SearchStrategy[LineImage]:
    """Return images of any shape and any ink."""
    shapes = st.tuples(st.integers(1, 60), st.integers(1, 90))
    values = st.sampled_from([0.0, 0.25, 1.0])
    pixels = shapes.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=values))
    return pixels.map(lambda ink: LineImage.checked(ink, item="any"))


def draw_line(text: str, *, seed: int) -> NDArray[np.uint8]:
    """Return the grey picture of a text in the hand of `ink_letters`, small letters 20 px high."""
    ink = write_letters(text, seed=seed)
    width = int(ink.points[:, 0].max()) + 30
    return draw_ink(ink.moved(ink.points + np.array([15.0, 55.0])), width=width, height=HEIGHT)


def draw_ink(ink: Ink, *, width: int, height: int) -> NDArray[np.uint8]:
    """Return the grey picture of strokes, whose unit is the pixel."""
    image = Image.new("L", (width, height), 240)
    pen = ImageDraw.Draw(image)
    for stroke in ink.strokes():
        path = [(x, y) for x, y in stroke.tolist()]
        pen.line([*path, path[-1]], fill=30, width=3)
        pen.circle(path[0], 1.5, fill=30)
    return np.asarray(image)
