"""Images of lines of text: a grey picture of one line, cut out of its page where a polygon says so.

PNG, JPEG and TIFF are read, with 1, 8 or 16 bits, grey, colour, CMYK or palette; what is
transparent is paper, and the orientation that a camera wrote down is followed. Uneven paper is
levelled: each pixel counts by how much darker it is than the paper about it. No torch.

Shape letters: **H** rows, **W** columns of pixels. x grows to the right and y down.

Source of the levelling: the paper is what a closing leaves of the light, blurred (Serra 1982,
"Image Analysis and Mathematical Morphology", chapter XII).
"""

import functools
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps
from scipy import ndimage

from ctcasr.errors import ImageError

MAX_SIDE = 20_000
"""Most pixels of a page or line from edge to edge: a metre and a half at 300 dpi."""

MAX_PIXELS = 80_000_000
"""Most pixels of a page: A3 at 600 dpi has 70 million."""

MAX_LINE_PIXELS = 20_000_000
"""Most pixels of one line, its box included."""

Grey = NDArray[np.unsignedinteger[Any]]
"""(H, W) light of pixels, 8 or 16 bits: 0 is black."""

_FORMATS = ("PNG", "JPEG", "TIFF")
_GREY_MODES = {"1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB", "HSV"}
_ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}
_FURTHEST = 100_000  # pixels off the page that a corner may lie
_PAGES_KEPT = 4  # in memory, for lines that come page by page
_PAGE_HEIGHT, _LEAST_ASPECT = 800, 2.0  # a line that is so high is at least so much wider
_LEAST_WINDOW = 15  # pixels that the paper is looked for in, both ways
_PAPER_GRAIN = 0.08  # darker than the paper about it by less than this share is paper
_LEAST_INK = 0.25  # the darkest percent of a line with ink is darker than its paper by this much
_BLACKEST = 0.99


@dataclass(frozen=True, slots=True, eq=False)
class LineImage:
    """The picture of one line. Made by `LineImage.checked`, which refuses bad ones.

    Attributes:
        ink: (H, W) 0 where there is paper, 1 where there is ink.
        left, top: where its first pixel lies in the image it was cut out of.
    """

    ink: NDArray[np.float32]
    left: int = 0
    top: int = 0

    @classmethod
    def checked(
        cls, ink: NDArray[np.floating[Any]], *, item: str, left: int = 0, top: int = 0
    ) -> "LineImage":
        """Return a line after a look at its pixels; `item` is named in errors.

        Raises:
            ImageError: no pixels, too many, or values that are not within 0 to 1.
        """
        if ink.ndim != 2 or not ink.size:
            raise ImageError(
                f"{item}: an image of {_size_of(ink)}; it needs rows and columns of pixels"
            )
        _require_size(ink.shape[1], ink.shape[0], MAX_LINE_PIXELS, item)
        if not (np.isfinite(ink).all() and ink.min() >= 0 and ink.max() <= 1):
            raise ImageError(f"{item}: pixels must be numbers from 0, paper, to 1, ink; scale them")
        return cls(np.ascontiguousarray(ink, dtype=np.float32), left, top)

    @property
    def height(self) -> int:
        """H."""
        return len(self.ink)

    @property
    def width(self) -> int:
        """W."""
        return int(self.ink.shape[1])


def read_line_image(
    path: Path,
    *,
    item: str,
    polygon: Sequence[tuple[float, float]] | None = None,
    content: bytes | None = None,
) -> LineImage:
    """Return the picture of one line, its paper levelled.

    Args:
        path: a PNG, JPEG or TIFF.
        item: named in errors.
        polygon: (x, y) corners of the line in the image, in pixels; what lies outside becomes
            paper, and what reaches over the page's edge is cut off. None takes the whole image.
        content: of the file, where it does not lie at `path`.

    Raises:
        ImageError: the file cannot be read, is of another form or too large; the whole image looks
            like a page; the polygon has fewer than three corners or lies off the page; or see
            `LineImage.checked`.
    """
    if polygon is None:
        grey = _read_grey(path, item, content)
        _require_line(grey, item)
        return LineImage.checked(level_paper(grey), item=item)
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, item, error.strerror) from error
    page = _load_page(path, status.st_mtime_ns, status.st_size)
    return _cut_out(page, polygon, item)


def level_paper(grey: Grey, inside: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Return (H, W) ink of a grey image: 0 as the paper about a pixel, 1 as the darkest of it.

    Args:
        grey: (H, W).
        inside: (H, W) True where the line is; elsewhere is paper. None: everywhere.
    """
    light = grey.astype(np.float32) / np.iinfo(grey.dtype).max
    if inside is not None:
        if not inside.any():
            return np.zeros_like(light)
        light = np.where(inside, light, 0)  # no light from beyond
    window = max(_LEAST_WINDOW, grey.shape[0] // 2) | 1
    paper = light
    for change in (ndimage.maximum_filter1d, ndimage.minimum_filter1d, ndimage.uniform_filter1d):
        for axis in (0, 1):
            paper = change(paper, window, axis=axis)
    ink = 1 - light / np.maximum(paper, 1e-3)
    if inside is not None:
        ink = np.where(inside, ink, 0)
    darkest = float(np.quantile(ink if inside is None else ink[inside], _BLACKEST))
    darkest = max(darkest, _LEAST_INK)
    levelled: NDArray[np.float32] = np.clip((ink - _PAPER_GRAIN) / (darkest - _PAPER_GRAIN), 0, 1)
    return levelled


def _cut_out(page: Grey, polygon: Sequence[tuple[float, float]], item: str) -> LineImage:
    corners = np.asarray(polygon, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        raise ImageError(
            f"{item}: a polygon of {len(polygon)} points; at least three (x, y) are needed"
        )
    if not (np.abs(corners) <= _FURTHEST).all():  # NaN neither
        raise ImageError(
            f"{item}: a corner of the polygon is no number, or further than {_FURTHEST:,} px from "
            "the edge; mend or leave out the item"
        )
    height, width = page.shape
    left, top = (math.floor(least) for least in corners.min(axis=0))
    right, bottom = (math.ceil(most) + 1 for most in corners.max(axis=0))
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if left >= right or top >= bottom:
        raise ImageError(
            f"{item}: the polygon about ({corners[0, 0]:g}, {corners[0, 1]:g}) lies off the page, "
            f"which has {width} x {height} px; was the page scaled after it was drawn?"
        )
    mask = Image.new("1", (right - left, bottom - top))
    outline = [(x - left, y - top) for x, y in corners.tolist()]
    ImageDraw.Draw(mask).polygon(outline, fill=1, outline=1)
    ink = level_paper(page[top:bottom, left:right], np.asarray(mask))
    return LineImage.checked(ink, item=item, left=left, top=top)


@functools.lru_cache(maxsize=_PAGES_KEPT)
def _load_page(path: Path, _changed: int, _size: int) -> Grey:
    """Return a page's grey pixels, kept in memory while the file stays as it is."""
    return _read_grey(path, path.name)


def _read_grey(path: Path, item: str, content: bytes | None = None) -> Grey:
    """Return the light of an image's pixels."""
    try:
        source = path if content is None else io.BytesIO(content)
        with Image.open(source, formats=_FORMATS) as image:
            _require_size(*image.size, MAX_PIXELS, item)
            if getattr(image, "n_frames", 1) > 1:
                raise ImageError(
                    f"{item}: {path} holds {getattr(image, 'n_frames', 1)} pages; save each as a "
                    "file of its own"
                )
            return _as_grey(ImageOps.exif_transpose(image), path, item)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{item}: {path} has more than {MAX_PIXELS:,} pixels; scale it down or cut it"
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise _unreadable(path, item, error.strerror) from error
        raise ImageError(
            f"{item}: {path} is no whole PNG, JPEG or TIFF ({error}); save it anew as one"
        ) from error


def _as_grey(image: Image.Image, path: Path, item: str) -> Grey:
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    elif image.mode == "I":  # a 16-bit image, as some Pillow plugins open it
        return np.asarray(image).clip(0, np.iinfo(np.uint16).max).astype(np.uint16)
    elif image.mode not in _GREY_MODES:
        raise ImageError(
            f"{item}: {path} has pixels of the kind {image.mode!r}; save it with 8 or 16 bits"
        )
    if image.mode in {"LAB", "HSV"}:
        image = image.convert("RGB") if image.mode == "HSV" else image.getchannel("L")
    return np.asarray(image.convert("L"))


def _require_line(grey: Grey, item: str) -> None:
    height, width = grey.shape
    if height >= _PAGE_HEIGHT and width < _LEAST_ASPECT * height:
        raise ImageError(
            f"{item}: an image of {width:,} x {height:,} px looks like a whole page; lines are "
            "read, not found: find them with kraken or eScriptorium, and give its PAGE or ALTO file"
        )


def _require_size(width: int, height: int, most: int, item: str) -> None:
    if not width or not height:
        raise ImageError(f"{item}: an image of {width} x {height} px; leave the item out")
    if max(width, height) > MAX_SIDE or width * height > most:
        raise ImageError(
            f"{item}: an image of {width:,} x {height:,} px; at most {MAX_SIDE:,} px from edge to "
            f"edge and {most:,} in all are read; scale it down or cut it"
        )


def _size_of(pixels: NDArray[Any]) -> str:
    return " x ".join(map(str, pixels.shape[::-1])) + " px"


def _unreadable(path: Path, item: str, reason: str | None) -> ImageError:
    return ImageError(f"{item}: cannot read {path} ({reason}); check the path")
