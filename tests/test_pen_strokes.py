import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.errors import InkError
from ctcasr.frontends.ink.strokes import MAX_COORDINATE, Ink

TWO = [np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([[5.0, 5.0]])]


def test_strokes_come_back_as_they_were_given():
    ink = Ink.from_strokes(TWO, item="a")
    assert [stroke.tolist() for stroke in ink.strokes()] == [stroke.tolist() for stroke in TWO]
    assert ink.pen_up.tolist() == [False, True, True]
    assert ink.stroke_ids.tolist() == [0, 0, 1]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_spans_cover_every_point_once(lengths):
    if not sum(lengths):
        return
    ink = Ink.from_strokes([np.ones((n, 2)) for n in lengths], item="a")
    spans = ink.stroke_spans()
    assert [end - first for first, end in spans] == [n for n in lengths if n]
    assert [at for first, end in spans for at in range(first, end)] == list(range(len(ink)))


def test_the_last_point_ends_a_stroke_even_if_the_device_forgot():
    assert Ink.checked(np.zeros((2, 2)), np.zeros(2, bool), item="a").pen_up.tolist() == [0, 1]


def test_a_clock_that_stumbles_stands_still():
    ink = Ink.checked(np.zeros((3, 2)), np.zeros(3, bool), np.array([1.0, 0.5, 2.0]), item="a")
    assert ink.times is not None
    assert ink.times.tolist() == [1.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.empty((0, 2)), "line-7: no points"),
        (np.array([[0, 0], [np.nan, 1]]), r"line-7: point 1 is at \(nan, 1\)"),
        (np.array([[0, -2 * MAX_COORDINATE]]), "line-7: point 0 is at .* within 10,000,000"),
    ],
)
def test_bad_points_are_named(points, message):
    with pytest.raises(InkError, match=message):
        Ink.checked(points, np.zeros(len(points), bool), item="line-7")


def test_every_point_needs_a_time_or_none_has_one():
    with pytest.raises(InkError, match="a: 1 times for 2 points"):
        Ink.checked(np.zeros((2, 2)), np.zeros(2, bool), np.zeros(1), item="a")
    with pytest.raises(InkError, match="a: the time of point 1 is no number"):
        Ink.checked(np.zeros((2, 2)), np.zeros(2, bool), np.array([0, np.inf]), item="a")


def test_strokes_can_be_chosen():
    ink = Ink.from_strokes(TWO, [np.array([0.0, 1.0]), np.array([2.0])], item="a")
    chosen = ink.take_strokes(np.array([False, True]))
    assert chosen.points.tolist() == [[5.0, 5.0]]
    assert chosen.times is not None
    assert chosen.times.tolist() == [2.0]
