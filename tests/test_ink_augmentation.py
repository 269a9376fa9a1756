import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.frontends.ink.augmentation import (
    NO_INK_AUGMENTATION,
    InkAugmentConfig,
    distort_ink,
    draw_ink_distortion,
)
from ctcasr.frontends.ink.features import InkFrontendConfig, ink_frames, prepare_ink
from ctcasr.frontends.ink.normalisation import level_slope, rotate, slant, text_lines
from ctcasr.frontends.ink.strokes import Ink
from tests.ink_cases import any_ink, wavy_line

LINE = wavy_line()  # letters 10 high
NEUTRAL = draw_ink_distortion(NO_INK_AUGMENTATION, seed=0, epoch=0, item="a")


def distorted(ink, distortion):
    return distort_ink(ink, distortion, letter=text_lines(ink)[1])


def change(ink, **values):
    return distorted(ink, dataclasses.replace(NEUTRAL, **values))[0]


def shift(ink, **values):
    return change(ink, **values).points - ink.points


def test_a_draw_depends_on_seed_epoch_and_item_alone():
    config = InkAugmentConfig()
    first = draw_ink_distortion(config, seed=1, epoch=2, item="a")
    assert draw_ink_distortion(config, seed=1, epoch=2, item="a") == first
    for seed, epoch, item in ((2, 2, "a"), (1, 3, "a"), (1, 2, "b")):
        other = draw_ink_distortion(config, seed=seed, epoch=epoch, item=item)
        assert other.rotation_degrees != first.rotation_degrees
        assert other.seed != first.seed


def test_the_same_distortion_gives_the_same_ink():
    distortion = draw_ink_distortion(InkAugmentConfig(), seed=1, epoch=1, item="a")
    first, second = (distorted(LINE, distortion)[0].points for _ in range(2))
    np.testing.assert_array_equal(first, second)


@given(any_ink())
def test_no_augmentation_leaves_ink_as_it_is(ink):
    np.testing.assert_allclose(distorted(ink, NEUTRAL)[0].points, ink.points, atol=1e-9)


@given(st.floats(-10, 10))
def test_rotation_turns_by_as_much_as_drawn(degrees):
    turned = change(LINE, rotation_degrees=degrees)
    back = rotate(turned.points, -math.radians(degrees))
    moved = back - LINE.points
    np.testing.assert_allclose(moved - moved[:1], 0, atol=1e-8)
    flat = level_slope(turned)
    assert np.ptp(flat.points[:, 1]) == pytest.approx(np.ptp(LINE.points[:, 1]), rel=0.1)


def test_slant_is_added_to_that_of_the_ink():
    assert slant(change(LINE, slant=0.25)) == pytest.approx(slant(LINE) + 0.25)


def test_scale_and_stretch_size_both_axes_and_the_width():
    width, height = np.ptp(LINE.points, axis=0)
    changed = change(LINE, scale=2.0, stretch=1.5)
    assert np.ptp(changed.points, axis=0) == pytest.approx([3 * width, 2 * height])


def test_a_faster_pen_takes_less_time():
    times = change(LINE, speed=2.0).times
    assert times is not None
    assert LINE.times is not None
    np.testing.assert_allclose(times, LINE.times / 2)


def test_the_elastic_shift_is_as_large_as_asked_for_and_smooth():
    shifts = [shift(LINE, elastic=0.3, elastic_width=3.0, seed=seed) for seed in range(40)]
    assert np.sqrt(np.mean(np.square(shifts))) == pytest.approx(3.0, rel=0.1)
    near = np.hypot(*np.diff(LINE.points, axis=0).T) < 1
    assert np.abs(np.diff(shifts, axis=1)[:, near]).max() < 1.0


def test_strokes_that_touch_still_touch_under_the_elastic_shift():
    points = LINE.points.copy()
    points[50:60] = points[0]
    moved = change(LINE.moved(points), elastic=0.3, elastic_width=3.0).points
    np.testing.assert_array_equal(moved[50:60], np.repeat(moved[:1], 10, axis=0))


def test_a_stroke_shift_moves_each_stroke_as_a_whole():
    shifts = shift(LINE, stroke_shift=0.2)
    for first, end in LINE.stroke_spans():
        np.testing.assert_allclose(
            shifts[first:end], np.repeat(shifts[first : first + 1], end - first, 0)
        )
    assert np.sqrt(np.mean(np.square(shifts))) == pytest.approx(2.0, rel=0.3)


def test_point_noise_moves_each_point_on_its_own():
    shifts = shift(LINE, point_noise=0.1)
    assert np.sqrt(np.mean(np.square(shifts))) == pytest.approx(1.0, rel=0.1)
    assert abs(np.corrcoef(shifts[1:, 0], shifts[:-1, 0])[0, 1]) < 0.1


def test_dots_are_dropped_as_often_as_asked_for_and_letters_never():
    dots = [np.array([[10.0 * n, -15.0]]) for n in range(40)]
    ink = Ink.from_strokes([*LINE.strokes(), *dots], item="a")
    lost = []
    for seed in range(50):
        distortion = dataclasses.replace(NEUTRAL, stroke_drop=0.3, seed=seed)
        changed, kept = distorted(ink, distortion)
        assert kept[: len(LINE)].tolist() == list(range(len(LINE)))
        np.testing.assert_allclose(changed.points, ink.points[kept])
        lost.append(ink.num_strokes - changed.num_strokes)
    assert np.mean(lost) == pytest.approx(0.3 * len(dots), rel=0.1)


@given(any_ink(), st.integers(0, 99))
def test_any_ink_survives_strong_augmentation(ink, seed):
    strong = InkAugmentConfig(
        rotation_degrees=(-30, 30), slant=(-1, 1), elastic=1, stroke_drop=1, point_noise=0.3
    )
    distortion = draw_ink_distortion(strong, seed=seed, epoch=0, item="a")
    changed, kept = distorted(ink, distortion)
    assert np.isfinite(changed.points).all()
    assert 1 <= len(changed) == len(kept)
    assert changed.pen_up[-1]


@given(any_ink(), st.integers(0, 9))
def test_frames_of_distorted_ink_know_where_they_came_from(ink, seed):
    config = InkAugmentConfig(stroke_drop=0.5)
    distortion = draw_ink_distortion(config, seed=seed, epoch=0, item="a")
    frames = ink_frames(
        prepare_ink(ink, InkFrontendConfig(), item="a"), InkFrontendConfig(), distortion=distortion
    )
    np.testing.assert_array_equal(ink.stroke_ids[frames.points], frames.strokes)
    assert (np.diff(frames.strokes) >= 0).all()
    np.testing.assert_array_equal(np.diff(frames.strokes) > 0, frames.sampled.pen_up[:-1])


def test_distortion_comes_after_normalisation():
    distortion = dataclasses.replace(NEUTRAL, slant=0.5)
    frames = ink_frames(
        prepare_ink(LINE, InkFrontendConfig(), item="a"), InkFrontendConfig(), distortion=distortion
    )
    assert slant(frames.sampled) == pytest.approx(0.5, abs=0.05)
