import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.config import parse_config
from ctcasr.errors import ConfigError
from ctcasr.frontends.image.augmentation import (
    NO_IMAGE_AUGMENTATION,
    ImageAugmentConfig,
    distort_line,
    draw_image_distortion,
)
from ctcasr.frontends.image.features import ImageFrontendConfig, image_frames, prepare_line
from ctcasr.frontends.image.line_image import LineImage
from ctcasr.frontends.image.normalisation import measure_line
from tests.image_cases import any_line, line_image, written_line

LINE = written_line()  # small letters 16 high in 80 rows
HEIGHT, WIDTH = LINE.shape
NEUTRAL = draw_image_distortion(NO_IMAGE_AUGMENTATION, seed=0, epoch=0, item="a")


def change(ink=LINE, **values):
    return distort_line(ink, dataclasses.replace(NEUTRAL, **values))[0]


def measured(ink, *steps):
    return measure_line(LineImage.checked(ink, item="a"), steps)


def test_a_draw_depends_on_seed_epoch_and_item_alone():
    config = ImageAugmentConfig()
    first = draw_image_distortion(config, seed=1, epoch=2, item="a")
    assert draw_image_distortion(config, seed=1, epoch=2, item="a") == first
    for seed, epoch, item in ((2, 2, "a"), (1, 3, "a"), (1, 2, "b")):
        other = draw_image_distortion(config, seed=seed, epoch=epoch, item=item)
        assert other.slant != first.slant
        assert other.seed != first.seed


def test_the_same_distortion_gives_the_same_line():
    distortion = draw_image_distortion(ImageAugmentConfig(), seed=1, epoch=1, item="a")
    first, second = (distort_line(LINE, distortion)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@given(any_line())
def test_no_augmentation_leaves_a_line_as_it_is(image):
    ink, columns = distort_line(image.ink, NEUTRAL)
    np.testing.assert_allclose(ink, image.ink, atol=1e-6)
    np.testing.assert_allclose(columns, np.arange(image.width), atol=1e-9)


def test_rotation_turns_the_line_clockwise():
    assert measured(change(rotation_degrees=2.0), "slope").slope == pytest.approx(
        math.tan(math.radians(2)), abs=0.008
    )


def test_the_ends_of_a_long_line_stay_in_the_picture():
    long = np.zeros((48, 4_000), dtype=np.float32)
    long[20:28] = 1
    turned = change(long, rotation_degrees=10)
    assert turned.sum() > 0.9 * long.sum()


def test_slant_moves_what_lies_lower_to_the_right():
    assert measured(change(slant=0.4), "slant").slant == pytest.approx(0.4, abs=0.1)


def test_scale_and_stretch_size_both_axes_and_the_width():
    bar = np.zeros((60, 300), dtype=np.float32)
    bar[25:35, 100:200] = 1
    changed = change(bar, scale=1.5, stretch=0.8)
    assert changed.shape == (60, 360)
    rows, columns = np.nonzero(changed > 0.5)
    assert np.ptp(rows) + 1 == pytest.approx(15, abs=1)
    assert np.ptp(columns) + 1 == pytest.approx(120, abs=1)


def test_shift_moves_the_line_down_by_a_share_of_the_height():
    np.testing.assert_allclose(change(shift=0.1)[8:], LINE[:-8], atol=1e-6)


def test_thicker_strokes_hold_more_ink_and_thinner_ones_less():
    bar = np.zeros((20, 30), dtype=np.float32)
    bar[5:15, 10:14] = 1
    assert change(bar, stroke_width=1.0).sum() == pytest.approx(12 * 6)
    assert change(bar, stroke_width=-1.0).sum() == pytest.approx(8 * 2)
    assert change(bar, stroke_width=0.5).sum() == pytest.approx((12 * 6 + 10 * 4) / 2)


def test_contrast_fades_ink_and_leaves_paper_white():
    np.testing.assert_allclose(change(contrast=0.4), 0.4 * LINE, rtol=1e-6)


def test_ink_is_never_more_than_full():
    assert change(contrast=3.0).max() == 1
    with pytest.raises(ConfigError, match=r"augment\.stroke_width.*less than or equal to 1"):
        parse_config({"frontend": {"kind": "columns"}, "augment": {"stroke_width": [0, 2]}})


def test_noise_has_the_deviation_asked_for():
    grey = np.full((50, 400), 0.5, dtype=np.float32)
    assert np.std(change(grey, noise=0.05)) == pytest.approx(0.05, rel=0.05)


def test_the_elastic_shift_is_as_large_as_asked_for_and_smooth():
    # The ink is its own x, so that what is drawn tells where it came from.
    places = np.tile(np.arange(600, dtype=np.float32) / 600, (48, 1))
    shifts = 600 * (change(places, elastic=0.1, elastic_width=1.0, seed=3) - places)[10:-10, 40:-40]
    assert np.sqrt(np.mean(np.square(shifts))) == pytest.approx(4.8, rel=0.25)
    assert np.abs(np.diff(shifts, axis=1)).max() < 1.0
    assert np.abs(np.diff(shifts, axis=0)).max() < 1.0


def test_cut_outs_blank_squares_of_the_size_drawn():
    full = np.ones((40, 200), dtype=np.float32)
    changed = change(full, cut_outs=((0.5, 0.5, 0.5), (0.0, 0.0, 0.5)))
    assert full.sum() - changed.sum() == pytest.approx(20 * 20 + 10 * 10)
    assert not changed[10:30, 90:110].any()


@given(any_line(), st.integers(0, 99))
def test_any_line_survives_strong_augmentation(image, seed):
    strong = ImageAugmentConfig(
        rotation_degrees=(-30, 30), slant=(-1, 1), elastic=0.5, stroke_width=(-1, 1), noise=1
    )
    distortion = draw_image_distortion(strong, seed=seed, epoch=0, item="a")
    ink, columns = distort_line(image.ink, distortion)
    assert ink.shape == (image.height, len(columns))
    assert len(columns) == max(1, round(image.width * distortion.width_factor))
    assert ((ink >= 0) & (ink <= 1)).all()


@pytest.mark.parametrize("mirror", [False, True])
def test_frames_of_a_distorted_line_know_where_they_came_from(mirror):
    ink = np.zeros((64, 900), dtype=np.float32)
    bars = [150, 420, 700]
    for left in bars:
        ink[10:54, left : left + 6] = 1
    config = ImageFrontendConfig(normalisation=(), mirror=mirror)
    prepared = prepare_line(LineImage.checked(ink, item="a", left=1_000), config, item="a")
    augment = ImageAugmentConfig(cut_outs=0, noise=0)
    for epoch in range(5):
        distortion = draw_image_distortion(augment, seed=1, epoch=epoch, item="a")
        distortion = dataclasses.replace(distortion, stroke_width=0.0)
        frames = image_frames(prepared, config, distortion=distortion)
        for left in bars:
            near = np.abs(frames.columns - (1_003 + left)) < 60
            middle = np.average(frames.columns[near], weights=frames.features[near].sum(axis=1))
            assert middle == pytest.approx(1_003 + left, abs=8)


def test_distortion_comes_after_straightening():
    distortion = dataclasses.replace(NEUTRAL, slant=0.4)
    config = ImageFrontendConfig()
    prepared = prepare_line(line_image(slant=-0.5), config, item="a")
    frames = image_frames(prepared, config, distortion=distortion)
    assert measured(frames.ink.T, "slant").slant == pytest.approx(0.4, abs=0.15)
