"""What is heard when: stretches that are missing, cannot be read, or that training never hears."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ctcasr.checking.findings import Finding, Kind, Unusable
from ctcasr.manifest.utterance import Utterance


def stretches_of(utterance: Utterance, field: str) -> list[tuple[float, float, str]] | None:
    """Return (start, end, text) of each stretch, in seconds from the item's beginning.

    None where the field is missing or no list of {"text", "start", "end"}.
    """
    given = utterance.extra.get(field)
    if not isinstance(given, list):
        return None
    found = [_read(one) for one in given]
    if any(one is None for one in found):
        return None
    begin = utterance.offset
    return [(start - begin, end - begin, text) for start, end, text in filter(None, found)]


def _read(stretch: Any) -> tuple[float, float, str] | None:
    if not isinstance(stretch, Mapping):
        return None
    start, end, text = (stretch.get(key) for key in ("start", "end", "text"))
    if isinstance(start, int | float) and isinstance(end, int | float) and isinstance(text, str):
        return (float(start), float(end), text) if start <= end else None
    return None


def frame_classes_of(utterances: Sequence[Utterance], field: str) -> tuple[str, ...]:
    """Return the classes of frames that a set has: "" for nothing, then the texts, sorted."""
    stretches = [one for u in utterances for one in stretches_of(u, field) or ()]
    return ("", *sorted({text for _, _, text in stretches} - {""}))


def unusable_stretches(
    utterance: Utterance, field: str, *, classes: Collection[str]
) -> Unusable | None:
    """Return why what is heard when cannot be learned or judged; None where it can."""
    stretches, item = stretches_of(utterance, field), utterance.id
    if stretches is None:
        return Unusable(
            item,
            Kind.NO_STRETCHES,
            f"utterance {item!r}: `{field}` (heads.frame.field) is no list of "
            f'{{"text", "start", "end"}} in seconds; ctcasr align --timed writes one',
        )
    unknown = sorted({text for _, _, text in stretches} - {*classes, ""})
    if unknown:
        return Unusable(
            item,
            Kind.UNKNOWN_STRETCH,
            f"utterance {item!r}: {field} has {unknown[0]!r}, which is not in the training set, so "
            f"it cannot be told; add recordings of it there, or take the line out",
        )
    return None


def check_stretches(
    sides: Mapping[str, Sequence[Utterance]], field: str, *, training: str
) -> list[Finding]:
    """Return every recording whose stretches cannot be learned from or judged on.

    Args:
        sides: utterances by the name of their set.
        field: of the manifest, that holds them.
        training: name of the training set.
    """
    classes = frame_classes_of(sides.get(training, ()), field)
    return [
        Finding(Kind(found.kind), (name,), (found.id,), found.message)
        for name, utterances in sides.items()
        for utterance in utterances
        if (found := unusable_stretches(utterance, field, classes=classes)) is not None
    ]
