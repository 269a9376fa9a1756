import base64
import io
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ctcasr.frontends.image.line_image import LineImage
from ctcasr.frontends.image.normalisation import ImageStep, LineShape, measure_line, straighten
from tests.image_cases import any_line, line_image, written_line

IMAGES = re.compile(r"base64,([^\"]+)\"")
STEPS: tuple[ImageStep, ...] = ("slope", "slant", "size")


@pytest.mark.parametrize("slope", [-0.12, -0.05, 0.0, 0.05, 0.12])
def test_the_slope_of_a_line_is_found(slope):
    shape = measure_line(line_image(slope=slope), STEPS)
    assert shape.slope == pytest.approx(slope, abs=0.006)


@pytest.mark.parametrize("slant", [-0.8, -0.4, 0.0, 0.4])
@pytest.mark.parametrize("slope", [0.0, 0.08])
def test_the_slant_of_a_line_is_found_whatever_its_slope(slant, slope):
    shape = measure_line(line_image(slant=slant, slope=slope), STEPS)
    assert shape.slant == pytest.approx(slant, abs=0.13)  # bars are 3 px wide


@pytest.mark.parametrize("x_height", [12, 16, 32, 48])
def test_small_letters_become_equally_high_whatever_their_size(x_height):
    image = line_image(x_height=x_height)
    shape = measure_line(image, STEPS)
    assert x_height / shape.extent == pytest.approx(0.25, abs=0.05)
    ink, _ = straighten(image, shape, height=48)
    assert ink.shape[1] / 48 == pytest.approx(image.width / shape.extent, abs=0.02)


def test_a_straightened_line_has_nothing_left_to_straighten():
    image = line_image(slope=0.08, slant=-0.5)
    ink, _ = straighten(image, measure_line(image, STEPS), height=64)
    again = measure_line(LineImage.checked(ink, item="a"), STEPS)
    assert again.slope == pytest.approx(0, abs=0.01)
    assert again.slant == pytest.approx(0, abs=0.11)
    assert again.middle == pytest.approx(32, abs=2)
    assert again.extent == pytest.approx(64, abs=6)


def test_a_neighbours_loops_do_not_make_a_line_smaller():
    ink = written_line(x_height=20)
    alone = measure_line(LineImage.checked(ink, item="a"), STEPS)
    ink[-4:, 100:140] = 1
    disturbed = measure_line(LineImage.checked(ink, item="a"), STEPS)
    assert disturbed.extent == pytest.approx(alone.extent, rel=0.1)


def test_steps_that_are_not_asked_for_are_not_taken():
    image = line_image(slope=0.1, slant=-0.5)
    assert measure_line(image, ()) == LineShape(0, 0, image.height / 2, image.height)
    assert measure_line(image, ("slope",)).slant == 0


def test_a_short_line_keeps_its_slope():
    assert measure_line(line_image(letters=2, slope=0.1), ("slope",)).slope == 0


def test_without_any_change_the_image_is_drawn_as_it_is():
    ink = written_line()
    height, width = ink.shape
    shape = LineShape(0.0, 0.0, height / 2, float(height))
    drawn, columns = straighten(LineImage.checked(ink, item="a"), shape, height=height)
    np.testing.assert_allclose(drawn, ink, atol=1e-6)
    np.testing.assert_allclose(columns, np.arange(width) + 0.5)


@pytest.mark.parametrize("size", [48, 40, 30])
def test_columns_say_where_in_the_image_ink_came_from(size):
    ink = np.zeros((96, 900), dtype=np.float32)
    bars = [100, 333, 640, 801]
    for left in bars:
        ink[20:80, left : left + 6] = 1
    shape = LineShape(0.0, 0.0, 48.0, 96.0)
    drawn, columns = straighten(LineImage.checked(ink, item="a"), shape, height=size)
    for left in bars:
        near = np.abs(columns - (left + 3)) < 40
        mass = drawn[:, near].sum(axis=0)
        assert np.average(columns[near], weights=mass) == pytest.approx(left + 3, abs=0.8)


@given(any_line(), st.sampled_from([(), ("slope",), ("size",), STEPS]), st.integers(16, 64))
def test_any_image_becomes_columns(image, steps, height):
    shape = measure_line(image, steps)
    ink, columns = straighten(image, shape, height=height)
    assert ink.shape == (height, len(columns))
    assert len(columns) == max(1, round(image.width * height / shape.extent))
    assert np.isfinite(ink).all()
    assert (ink >= 0).all()
    assert (ink <= 1).all()
    assert (np.diff(columns) > 0).all()


def test_the_picture_in_the_documentation_is_what_the_steps_do():
    docs = Path(__file__).parents[1] / "docs"
    drawn = SimpleNamespace(**runpy.run_path(str(docs / "draw_lines.py"))).render()

    kept = (docs / "line-normalisation.svg").read_text(encoding="utf-8")
    pixels, same = ([decode(one) for one in IMAGES.findall(text)] for text in (drawn, kept))
    assert len(pixels) == 4
    for one, other in zip(pixels, same, strict=True):
        assert one.shape == other.shape
        assert np.mean(np.abs(one - other)) < 2  # of 255: libraries draw a little differently


def decode(data: str):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"), dtype=float)
