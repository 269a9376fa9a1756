from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ctcasr.errors import ImageError
from ctcasr.frontends.image import line_image
from ctcasr.frontends.image.line_image import MAX_SIDE, LineImage, level_paper, read_line_image
from tests.image_cases import written_line

INK = written_line(letters=6)
GREY = (255 - 200 * INK).astype(np.uint8)
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16")


@pytest.fixture
def saved(tmp_path):
    """Save an image and return its path."""

    def save(image: Image.Image, name: str = "a.png", **options):
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


def picture_of(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(GREY.astype(np.uint16) * 257)
    if mode == "1":
        return Image.fromarray(INK == 0)
    return Image.fromarray(GREY).convert("RGB").convert(mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_every_kind_of_pixel_gives_the_same_line(saved, mode, suffix):
    try:
        path = saved(picture_of(mode), f"a{suffix}")
    except (OSError, ValueError):
        pytest.skip(f"{suffix} has no {mode}")
    ink = read_line_image(path, item="a").ink
    assert ink.dtype == np.float32
    assert np.mean(np.abs(ink - INK)) < (0.02 if suffix == ".jpg" else 1e-3)


def test_what_is_transparent_is_paper(saved):
    clear = np.zeros((*INK.shape, 4), dtype=np.uint8)  # black ink, black but transparent paper
    clear[..., 3] = 255 * INK
    read = read_line_image(saved(Image.fromarray(clear)), item="a").ink
    np.testing.assert_array_equal(read, INK)


def test_a_palette_entry_can_be_transparent(saved):
    image = Image.fromarray((INK > 0).astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 10, 10, 10])
    read = read_line_image(saved(image, transparency=0), item="a").ink
    np.testing.assert_array_equal(read > 0.5, INK > 0.5)


def test_a_camera_held_sideways_is_followed(saved):
    image = Image.fromarray(GREY).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    read = read_line_image(saved(image, exif=exif), item="a")
    np.testing.assert_array_equal(read.ink, level_paper(GREY))


@given(st.floats(0.5, 1.0), st.floats(0.5, 1.0), st.floats(0.3, 0.8))
def test_ink_does_not_depend_on_the_light_on_the_paper(left, right, depth):
    light = np.linspace(left, right, INK.shape[1])
    grey = (65535 * light * (1 - depth * INK)).astype(np.uint16)
    np.testing.assert_allclose(level_paper(grey), INK, rtol=0, atol=0.12)


def test_paper_with_nothing_on_it_has_no_ink():
    generator = np.random.default_rng(0)
    grey = (200 + generator.normal(0, 3, (60, 300))).astype(np.uint8)
    assert np.quantile(level_paper(grey), 0.99) < 0.1


def test_a_polygon_cuts_its_line_out_of_the_page(saved):
    page = np.full((200, 400), 230, dtype=np.uint8)
    page[50 : 50 + len(INK), : INK.shape[1]] = 230 - 200 * INK
    page[150:200, 10:390] = 20  # a line below
    height, width = INK.shape
    corners = [(0, 50), (width - 1, 50), (width - 1, 49 + height), (0, 49 + height)]
    line = read_line_image(saved(Image.fromarray(page)), polygon=corners, item="a")
    assert (line.left, line.top) == (0, 50)
    assert line.ink.shape == INK.shape
    np.testing.assert_allclose(line.ink, INK, atol=0.02)


def test_what_lies_outside_the_polygon_is_paper(saved):
    page = np.full((100, 300), 255, dtype=np.uint8)
    page[20:24] = 0
    triangle = [(50, 0), (250, 0), (150, 90)]
    line = read_line_image(saved(Image.fromarray(page)), polygon=triangle, item="a")
    assert line.left == 50
    dark = np.flatnonzero(line.ink[22])
    assert line.ink[22, dark].min() > 0.9
    # On row 22 the triangle reaches from 50 + 22 * 100 / 90 to 250 - 22 * 100 / 90.
    assert (dark.min(), dark.max()) == pytest.approx((24.4, 175.6), abs=1)


def test_a_polygon_over_the_edge_is_cut_off_there(saved):
    path = saved(Image.fromarray(np.full((40, 100), 255, dtype=np.uint8)))
    corners = [(-10, -5), (60, -5), (60, 20), (-10, 20)]
    line = read_line_image(path, polygon=corners, item="a")
    assert (line.left, line.top, line.width, line.height) == (0, 0, 61, 21)


@pytest.mark.parametrize(
    ("corners", "message"),
    [
        (
            [(500, 5), (600, 5), (600, 30)],
            r"line-7: the polygon about \(500, 5\) lies off the page",
        ),
        ([(0, -30), (9, -30), (9, -5)], "which has 100 x 40 px"),
        ([(0, 0), (9, 9)], "line-7: a polygon of 2 points; at least three"),
        ([(0, 0), (9, 9), (float("nan"), 1)], "line-7: a corner of the polygon is no number"),
        ([(0, 0), (9, 9), (1e12, 1)], "or further than 100,000 px from the edge"),
    ],
)
def test_a_polygon_that_holds_nothing_is_refused(saved, corners, message):
    path = saved(Image.fromarray(np.full((40, 100), 255, dtype=np.uint8)))
    with pytest.raises(ImageError, match=message):
        read_line_image(path, polygon=corners, item="line-7")


@given(
    corners=st.lists(st.tuples(*[st.floats(-200, 400) | st.floats()] * 2), max_size=6),
    seed=st.integers(0, 9),
)
def test_any_polygon_cuts_out_a_part_of_the_page_or_is_refused(corners, seed, tmp_path_factory):
    generator = np.random.default_rng(seed)
    page = generator.integers(0, 256, (120, 200)).astype(np.uint8)
    path = tmp_path_factory.mktemp("page") / "a.png"
    Image.fromarray(page).save(path)
    with suppress(ImageError):
        line = read_line_image(path, polygon=corners, item="a")
        assert 0 <= line.left < line.left + line.width <= 200
        assert 0 <= line.top < line.top + line.height <= 120


def test_a_page_is_decoded_once_for_all_its_lines(saved, monkeypatch):
    path = saved(Image.fromarray(GREY))
    read = []
    decode = line_image._read_grey

    def count(path, item):
        read.append(path)
        return decode(path, item)

    monkeypatch.setattr(line_image, "_read_grey", count)
    for _ in range(3):
        read_line_image(path, polygon=[(0, 0), (50, 0), (50, 50)], item="a")
    assert read == [path]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.empty((0, 5)), "a: an image of 5 x 0 px"),
        (np.zeros(5), "a: an image of 5 px; it needs rows and columns"),
        (np.zeros((1, MAX_SIDE + 1)), "a: an image of 20,001 x 1 px; at most 20,000 px"),
        (np.array([[0.0, np.nan]]), "a: pixels must be numbers from 0"),
        (np.array([[0.0, 1.5]]), "a: pixels must be numbers from 0"),
    ],
)
def test_bad_pixels_are_refused(pixels, message):
    with pytest.raises(ImageError, match=message):
        LineImage.checked(pixels, item="a")


def test_an_image_of_30_000_px_is_refused_before_it_is_decoded(saved):
    path = saved(Image.new("1", (30_000, 20)))
    with pytest.raises(ImageError, match=r"a: an image of 30,000 x 20 px; at most 20,000 px"):
        read_line_image(path, item="a")


@pytest.mark.parametrize("size", [(10_000, 9_500), (15_000, 15_000)])
def test_decompression_bombs_are_refused(saved, size):
    path = saved(Image.new("1", size))
    assert path.stat().st_size < 100_000
    with pytest.raises(ImageError, match=r"a: .* 80,000,000"):
        read_line_image(path, item="a")


def test_a_whole_page_is_not_taken_for_a_line(saved):
    path = saved(Image.new("L", (1_240, 1_754), 255))
    with pytest.raises(ImageError, match="a: an image of 1,240 x 1,754 px looks like a whole page"):
        read_line_image(path, item="a")
    assert read_line_image(path, item="a", polygon=[(0, 0), (900, 0), (900, 1_700)]).height == 1701


def test_several_pages_in_one_file_are_refused(saved):
    path = saved(
        Image.fromarray(GREY), "a.tif", save_all=True, append_images=[Image.fromarray(GREY)]
    )
    with pytest.raises(ImageError, match="holds 2 pages"):
        read_line_image(path, item="a")


def test_pixels_that_are_fractions_are_refused(saved):
    path = saved(Image.fromarray(INK), "a.tif")
    with pytest.raises(ImageError, match="pixels of the kind 'F'; save it with 8 or 16 bits"):
        read_line_image(path, item="a")


def test_what_is_no_image_is_refused(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(ImageError, match=r"a: cannot read .*No such file"):
        read_line_image(path, item="a")
    with pytest.raises(ImageError, match=r"a: cannot read .*No such file"):
        read_line_image(path, item="a", polygon=[(0, 0), (5, 0), (5, 5)])
    path.write_bytes(b"GIF89a and more")
    with pytest.raises(ImageError, match="is no whole PNG, JPEG or TIFF"):
        read_line_image(path, item="a")


@pytest.mark.filterwarnings("ignore")  # Pillow tells what it finds odd before it gives up
@given(data=st.data())
def test_a_file_cut_short_or_damaged_is_an_error_of_ours(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    suffix = data.draw(st.sampled_from(["png", "jpg", "tif"]))
    path = folder / f"a.{suffix}"
    Image.fromarray(GREY).save(path)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:at]
    else:
        content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with suppress(ImageError):
        read_line_image(path, item="a")
