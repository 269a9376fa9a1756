"""Defects of images of lines, from one look at the pixels of each item.

What cannot be read at all (no pixels, too many, a polygon off the page) is found by reading; here
is what can be read and is still odd.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ctcasr.checking.findings import Finding, Kind, Unusable
from ctcasr.checking.item_checks import unusable_item
from ctcasr.errors import ImageError
from ctcasr.frontends.image.line_image import read_line_image
from ctcasr.frontends.image.line_images import LineImages
from ctcasr.manifest.utterance import Utterance

_LEAST_HEIGHT = 16  # pixels; strokes of smaller lines run together
_INK = 0.5
_LEAST_INK = 4  # dark pixels for each character that is not a space
_MOST_INK = 0.5  # share of the pixels: more is no writing on paper


@dataclass(frozen=True, slots=True)
class MeasuredImage:
    """What one look at an item's pixels leaves.

    Attributes:
        utterance: which.
        width, height: in pixels, as it was read.
        num_dark: pixels with ink.
        amount: frames that the frontend makes of it.
        digest: equal for equal pixels.
    """

    utterance: Utterance
    width: int
    height: int
    num_dark: int
    amount: float
    digest: bytes

    @property
    def silent(self) -> bool:
        """Whether there is no ink."""
        return self.num_dark == 0


def measure_image(utterance: Utterance, medium: LineImages) -> MeasuredImage | Unusable:
    """Read one item; return its measures, or why it cannot be used."""
    try:
        image = read_line_image(utterance.path, item=utterance.id, polygon=utterance.polygon)
        prepared = medium.prepare(image, item=utterance.id)
    except ImageError as error:
        return unusable_item(utterance, error)
    return MeasuredImage(
        utterance=utterance,
        width=image.width,
        height=image.height,
        num_dark=int((image.ink > _INK).sum()),
        amount=len(prepared.columns) / medium.rate,
        digest=hashlib.sha256(image.ink.tobytes()).digest(),
    )


def check_images(name: str, measured: Sequence[MeasuredImage]) -> list[Finding]:
    """Return lines that are very low, dark all over, or whose ink does not go with their text."""
    findings = []

    def add(kind: Kind, item: str, message: str) -> None:
        findings.append(Finding(kind, (name,), (item,), f"{item}: {message}"))

    for m in measured:
        item, text, size = m.utterance.id, m.utterance.text, f"{m.width} x {m.height} px"
        num_letters = len("".join((text or "").split()))
        if m.height < _LEAST_HEIGHT:
            add(Kind.LOW_IMAGE, item, f"{size}; lines should be {_LEAST_HEIGHT} px high or more")
        if m.num_dark > _MOST_INK * m.width * m.height:
            share = m.num_dark / (m.width * m.height)
            add(Kind.DARK_IMAGE, item, f"{share:.0%} of {size} is ink; is it light on dark?")
        if num_letters and m.num_dark < _LEAST_INK * num_letters:
            add(
                Kind.LITTLE_INK,
                item,
                f"{m.num_dark} dark pixels in {size} for {num_letters} characters; its text may "
                f"belong to another image",
            )
        if text is not None and not num_letters and not m.silent:
            add(Kind.INK_WITHOUT_TEXT, item, f"{m.num_dark} dark pixels in {size}, and no text")
    return findings
