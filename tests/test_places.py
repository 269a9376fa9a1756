import numpy as np
import pytest

from ctcasr.decoding import Word
from ctcasr.frontends.image.features import ImageFrontendConfig
from ctcasr.frontends.image.line_image import LineImage
from ctcasr.items import image_item
from ctcasr.places import make_places

STRIDE = 4


def three_words(*, mirror):
    """Blocks of ink at 0-100, 140-220 and 300-400, on a page from (1000, 50)."""
    ink = np.zeros((48, 400), dtype=np.float32)
    for left, right in ((0, 100), (140, 220), (300, 400)):
        ink[10:40, left:right] = 1
    config = ImageFrontendConfig(normalisation=(), mirror=mirror)
    image = LineImage.checked(ink, item="a", left=1_000, top=50)
    return image_item(image, config, item="a"), make_places(config, STRIDE)


def word(text, pixel):
    """A word that the network gives at one pixel, counted as it reads."""
    return Word(text, pixel // STRIDE, pixel // STRIDE + 1, None)


def test_words_of_a_line_meet_in_the_middle_of_the_gaps():
    item, places = three_words(mirror=False)

    found = places.words(item, [word("a", 60), word("b", 180), word("c", 350)])

    spans = [(one.start, one.end) for one in found]
    assert np.ravel(spans) == pytest.approx([1000, 1120, 1120, 1260, 1260, 1400], abs=1)
    assert found[1].polygon is not None
    assert np.ravel(found[1].polygon) == pytest.approx(
        [1120, 50, 1260, 50, 1260, 98, 1120, 98], abs=1
    )
    assert places.extent(item) == 400


def test_words_written_from_right_to_left_start_at_the_right():
    item, places = three_words(mirror=True)

    found = places.words(item, [word("a", 50), word("b", 220), word("c", 350)])

    spans = [(one.start, one.end) for one in found]
    assert np.ravel(spans) == pytest.approx([1400, 1260, 1260, 1120, 1120, 1000], abs=1)
    assert found[0].polygon is not None
    assert [x for x, _ in found[0].polygon] == pytest.approx([1260, 1400, 1400, 1260], abs=1)


def test_a_line_without_words_has_none():
    item, places = three_words(mirror=False)

    assert places.words(item, []) == ()
