import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.errors import ImageError
from ctcasr.frontends import image_features
from ctcasr.frontends.image_features import ImageFrontendConfig, image_frames
from ctcasr.frontends.line_image import LineImage
from tests.image_cases import any_line, line_image, written_line

RAW = ImageFrontendConfig(normalisation=(), height=80)


def test_frames_are_the_columns_of_the_image():
    ink = written_line()
    frames = image_frames(line_image(), RAW, item="a")
    assert frames.features.dtype == np.float32
    np.testing.assert_allclose(frames.features, ink.T, atol=1e-6)
    np.testing.assert_allclose(frames.columns, np.arange(len(ink.T)) + 0.5)


def test_columns_count_from_the_edge_of_the_page():
    image = LineImage.checked(written_line(), item="a", left=1_234, top=99)
    assert image_frames(image, RAW, item="a").columns[0] == pytest.approx(1_234.5)


@given(any_line(), st.integers(16, 64))
def test_any_line_has_a_frame_for_each_column(image, height):
    frames = image_frames(image, ImageFrontendConfig(height=height), item="a")
    assert frames.features.shape == (len(frames.columns), height)
    assert len(frames.columns) >= 1
    assert frames.features.flags.c_contiguous


def test_what_is_written_from_right_to_left_is_read_so():
    ahead = image_frames(line_image(), ImageFrontendConfig(), item="a")
    behind = image_frames(line_image(), ImageFrontendConfig(), item="a", right_to_left=True)
    np.testing.assert_array_equal(behind.features, ahead.features[::-1])
    np.testing.assert_array_equal(behind.columns, ahead.columns[::-1])


def test_a_line_that_would_be_too_wide_is_refused(monkeypatch):
    monkeypatch.setattr(image_features, "MAX_FRAMES", 100)
    with pytest.raises(ImageError, match=r"a: 600 x 80 px would be .* at most 100 are read"):
        image_frames(line_image(), ImageFrontendConfig(), item="a")


def test_a_line_of_one_pixel_row_is_no_trouble():
    image = LineImage.checked(np.zeros((1, 100), dtype=np.float32), item="a")
    assert len(image_frames(image, RAW, item="a").features) == 8_000
