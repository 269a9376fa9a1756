"""Defects of pen strokes, from one look at the points of each item.

What cannot be read at all (no points, coordinates that are no numbers or absurd) is found by
reading; here is what can be read and is still odd.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ctcasr.checking.findings import Finding, Kind, Unusable
from ctcasr.checking.item_checks import unusable_item
from ctcasr.errors import InkError
from ctcasr.frontends.ink.files import read_ink
from ctcasr.frontends.ink.pen_strokes import PenStrokes
from ctcasr.manifest.utterance import Utterance

_LEAST_POINTS = 2  # for each character that is not a space


@dataclass(frozen=True, slots=True)
class MeasuredInk:
    """What one look at an item's points leaves.

    Attributes:
        utterance: which.
        num_points, num_strokes: as they were read.
        num_empty: strokes without a point.
        amount: frames that the frontend makes of them.
        digest: equal for equal points.
    """

    utterance: Utterance
    num_points: int
    num_strokes: int
    num_empty: int
    amount: float
    digest: bytes
    silent: bool = False


def measure_ink(utterance: Utterance, medium: PenStrokes) -> MeasuredInk | Unusable:
    """Read one item; return its measures, or why it cannot be used."""
    try:
        ink = read_ink(
            utterance.path, item=utterance.id, index=utterance.index, traces=utterance.traces
        )
        frames = medium.frames(medium.prepare(ink, item=utterance.id))
    except InkError as error:
        return unusable_item(utterance, error)
    return MeasuredInk(
        utterance=utterance,
        num_points=len(ink),
        num_strokes=ink.num_strokes,
        num_empty=ink.num_empty,
        amount=float(len(frames.features)),
        digest=hashlib.sha256(ink.points.tobytes() + ink.pen_up.tobytes()).digest(),
    )


def check_ink(name: str, measured: Sequence[MeasuredInk]) -> list[Finding]:
    """Return items with too little ink for their text, or ink without a text."""
    findings = []
    for m in measured:
        item, text = m.utterance.id, m.utterance.text
        num_letters = len("".join((text or "").split()))
        if num_letters and m.num_points < _LEAST_POINTS * num_letters:
            message = (
                f"{item}: {m.num_points} point(s) in {m.num_strokes} stroke(s) for {num_letters} "
                f"characters; its text may belong to other ink"
            )
            findings.append(Finding(Kind.LITTLE_INK, (name,), (item,), message))
        if m.num_empty:
            message = f"{item}: {m.num_empty} of {m.num_strokes + m.num_empty} strokes are empty"
            findings.append(Finding(Kind.EMPTY_STROKES, (name,), (item,), message))
        if text is not None and not num_letters:
            message = f"{item}: {m.num_strokes} stroke(s) of ink, and an empty text"
            findings.append(Finding(Kind.INK_WITHOUT_TEXT, (name,), (item,), message))
    return findings
