import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.errors import ImageError
from ctcasr.frontends.image import features as image_features
from ctcasr.frontends.image.features import ImageFrontendConfig, image_frames, prepare_line
from ctcasr.frontends.image.line_image import LineImage
from tests.image_cases import any_line, line_image, written_line

RAW = ImageFrontendConfig(normalisation=(), height=80)


def frames_of(image, config=RAW):
    return image_frames(prepare_line(image, config, item="a"), config)


def test_frames_are_the_columns_of_the_image():
    ink = written_line()
    frames = frames_of(line_image())
    assert frames.features.dtype == np.float32
    np.testing.assert_allclose(frames.ink, ink.T, atol=0.5 / 255)
    np.testing.assert_allclose(frames.features, 4 * frames.ink)
    np.testing.assert_allclose(frames.columns, np.arange(len(ink.T)) + 0.5)


def test_columns_count_from_the_edge_of_the_page():
    image = LineImage.checked(written_line(), item="a", left=1_234, top=99)
    assert frames_of(image).columns[0] == pytest.approx(1_234.5)


@given(any_line(), st.integers(16, 64))
def test_any_line_has_a_frame_for_each_column(image, height):
    frames = frames_of(image, ImageFrontendConfig(height=height))
    assert frames.features.shape == (len(frames.columns), height)
    assert len(frames.columns) >= 1
    assert frames.features.flags.c_contiguous


def test_what_is_written_from_right_to_left_is_read_so():
    ahead = frames_of(line_image(), ImageFrontendConfig())
    behind = frames_of(line_image(), ImageFrontendConfig(mirror=True))
    np.testing.assert_array_equal(behind.features, ahead.features[::-1])
    np.testing.assert_array_equal(behind.columns, ahead.columns[::-1])


@pytest.mark.parametrize("normalisation", [(), ("slope", "slant", "size")])
def test_a_mirrored_image_read_from_its_other_end_is_the_same(normalisation):
    config = ImageFrontendConfig(normalisation=normalisation, height=80)
    ink = written_line(slope=0.04, slant=-0.3)
    ahead = frames_of(LineImage.checked(ink, item="a"), config)
    mirrored = config.model_copy(update={"mirror": True})
    behind = frames_of(LineImage.checked(ink[:, ::-1], item="a"), mirrored)
    assert behind.ink.shape == ahead.ink.shape
    assert np.mean(np.abs(behind.ink - ahead.ink)) < 0.03


def test_a_line_that_would_be_too_wide_is_refused(monkeypatch):
    monkeypatch.setattr(image_features, "MAX_FRAMES", 100)
    with pytest.raises(ImageError, match=r"a: 600 x 80 px would be .* at most 100 are read"):
        frames_of(line_image(), ImageFrontendConfig())


def test_a_line_of_one_pixel_row_is_no_trouble():
    image = LineImage.checked(np.zeros((1, 100), dtype=np.float32), item="a")
    assert len(frames_of(image).features) == 8_000
