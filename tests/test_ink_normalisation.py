import math
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.frontends.ink.normalisation import (
    InkStep,
    is_near_line,
    level_slope,
    normalise_ink,
    rotate,
    shear,
    slant,
    text_lines,
    turning_points,
    unit_size,
    upright_slant,
    weighted_median,
)
from ctcasr.frontends.ink.strokes import Ink
from tests.ink_cases import any_ink, wavy_line

LINE = wavy_line()
EVERY: tuple[InkStep, ...] = ("outliers", "slope", "slant", "size")


def angle_between(first: Ink, second: Ink) -> float:
    """Return the turn that best takes one to the other, in degrees."""
    a, b = (ink.points - ink.points.mean(axis=0) for ink in (first, second))
    cross = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()
    return math.degrees(math.atan2(cross, (a * b).sum()))


def test_a_level_line_stays_as_it_is():
    assert angle_between(LINE, level_slope(LINE)) == pytest.approx(0, abs=0.1)


@given(st.floats(-30, 30))
def test_a_turned_line_is_turned_back(degrees):
    turned = LINE.moved(rotate(LINE.points, math.radians(degrees)))
    assert angle_between(LINE, level_slope(turned)) == pytest.approx(0, abs=0.3)


@given(st.floats(-0.8, 0.8))
def test_slant_does_not_change_what_an_upright_line_is(amount):
    upright = upright_slant(LINE)
    again = upright_slant(LINE.moved(shear(LINE.points, amount)))
    np.testing.assert_allclose(again.points, upright.points, atol=1e-9)
    assert slant(again) == pytest.approx(0, abs=1e-12)


def test_up_strokes_do_not_slant_a_line():
    saw = np.array([[0.0, -1], [0, 0], [1, -1], [1, 0], [2, -1], [2, 0]])  # upright on its way down
    assert slant(Ink.from_strokes([saw], item="a")) == 0


def test_sampling_does_not_slant_a_line():
    saw = [[0.0, -1], [0, 0], [1, -1], [0.5, 0], [2, -1], [2, 0]]
    dense = [*saw[:2], [1, -1], *([1 - n / 20, -1 + n / 10] for n in range(1, 10)), *saw[3:]]
    for points in (saw, dense):
        assert slant(Ink.from_strokes([np.array(points)], item="a")) == 0


@given(st.floats(0.01, 1e3), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_size_and_place_do_not_change_normalised_ink(scale, x, y):
    once = unit_size(LINE)
    again = unit_size(LINE.moved(LINE.points * scale + np.array([x, y])))
    np.testing.assert_allclose(again.points, once.points, atol=1e-6)


def test_the_small_letters_are_one_high_and_stand_on_zero():
    baseline, height = text_lines(LINE)
    assert (baseline, height) == pytest.approx((0, 10), abs=0.5)
    assert text_lines(unit_size(LINE)) == pytest.approx((0, 1))
    assert unit_size(LINE).points[:, 0].min() == 0


def test_wiggles_do_not_make_letters_small():
    generator = np.random.default_rng(0)
    rough = LINE.moved(LINE.points + generator.normal(0, 0.3, LINE.points.shape))
    assert text_lines(rough)[1] == pytest.approx(10, rel=0.15)


def test_a_stroke_far_from_the_line_is_an_outlier_and_a_descender_is_not():
    far = np.array([[100.0, 300.0], [110.0, 310.0]])
    ink = Ink.from_strokes([*LINE.strokes(), far], item="a")
    assert np.flatnonzero(~is_near_line(ink)).tolist() == [LINE.num_strokes]
    normal, kept = normalise_ink(ink, ["outliers"])
    assert normal.num_strokes == LINE.num_strokes
    assert kept.tolist() == list(range(len(LINE)))
    assert is_near_line(LINE).all()


def test_a_steep_line_has_no_outliers():
    assert is_near_line(LINE.moved(rotate(LINE.points, math.radians(35)))).all()


def test_an_outlier_is_one_beside_a_steep_line_too():
    above = np.array([[150.0, -80.0], [160.0, -80.0]])
    ink = Ink.from_strokes([*LINE.strokes(), above], item="a")
    steep = ink.moved(rotate(ink.points, math.radians(35)))
    assert np.flatnonzero(~is_near_line(steep)).tolist() == [LINE.num_strokes]


def test_turns_are_found_with_how_far_the_pen_goes_about_them():
    stroke = np.array([[0.0, 0], [1, 4], [2, 4], [3, 3], [4, 9]])
    tops, bottoms = turning_points(
        Ink.from_strokes([stroke, np.array([[0.0, 0], [5, 0]])], item="a")
    )
    assert (tops.at.tolist(), tops.travel.tolist()) == ([0, 3], [4, 1])
    assert (bottoms.at.tolist(), bottoms.travel.tolist()) == ([2, 4], [1, 6])


@given(any_ink())
def test_turns_agree_with_a_walk_along_each_stroke(ink):
    tops, bottoms = turning_points(ink)
    expected: dict[bool, list[int]] = {True: [], False: []}
    for first, end in ink.stroke_spans():
        y = ink.points[:, 1]
        way = 0.0  # the sign of the last move up or down
        for at in range(first, end - 1):
            move = np.sign(y[at + 1] - y[at])
            if move and move != way:
                expected[move > 0].append(at)
            way = move or way
        if way:
            last = max(at for at in range(first, end - 1) if y[at + 1] != y[at]) + 1
            expected[way < 0].append(last)
    assert tops.at.tolist() == sorted(expected[True])
    assert bottoms.at.tolist() == sorted(expected[False])


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 5)), min_size=1, max_size=9))
def test_a_weighted_median_is_the_median_of_values_said_that_often(pairs):
    values, weights = np.array(pairs, float).T
    said = np.sort(np.repeat(values, weights.astype(int)))
    assert weighted_median(values, weights) == said[(len(said) - 1) // 2]


@given(any_ink())
def test_any_ink_can_be_normalised(ink):
    normal, kept = normalise_ink(ink, EVERY)
    assert np.isfinite(normal.points).all()
    assert len(kept) == len(normal) >= 1
    assert normal.pen_up[-1]


@pytest.mark.parametrize(
    "stroke",
    [[[3, 4]], [[3, 4], [3, 4]], [[0, 0], [0, 9]], [[0, 0], [9, 0]], [[0, 0], [50, 3]]],
    ids=["dot", "pressed dot", "vertical bar", "horizontal bar", "dash"],
)
def test_what_says_no_slope_and_no_slant_keeps_its_direction(stroke):
    ink = Ink.from_strokes([np.array(stroke, float)], item="a")
    normal, _ = normalise_ink(ink, ["slope"])
    assert normal.points.tolist() == ink.points.tolist()


def test_a_bar_and_a_dot_have_a_size_too():
    bar = unit_size(Ink.from_strokes([np.array([[10.0, 5], [20, 5]])], item="a"))
    assert bar.points.tolist() == [[0, 0], [500, 0]]
    dot = unit_size(Ink.from_strokes([np.array([[10.0, 5]])], item="a"))
    assert dot.points.tolist() == [[0, 0]]


def test_the_picture_in_the_documentation_is_what_the_steps_do():
    docs = Path(__file__).parents[1] / "docs"
    drawn = SimpleNamespace(**runpy.run_path(str(docs / "draw_ink.py"))).render()

    kept = (docs / "ink-normalisation.svg").read_text(encoding="utf-8")
    # Points to a tenth: the last digit is the machine's.
    numbers, same = (re.findall(r"\d+\.\d+", picture) for picture in (drawn, kept))
    assert len(numbers) == len(same)
    np.testing.assert_allclose(np.array(numbers, float), np.array(same, float), atol=0.21)
