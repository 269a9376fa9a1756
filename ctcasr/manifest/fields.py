"""The fields of a manifest line: their names, and what each may hold."""

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from ctcasr.errors import ManifestError
from ctcasr.manifest.ids import WHITE_SPACE
from ctcasr.manifest.utterance import Modality

_PLACES: Mapping[Modality, tuple[str, ...]] = {
    Modality.AUDIO: ("offset", "duration", "channel"),
    Modality.INK: ("index", "traces", "source"),
    Modality.IMAGE: ("polygon", "baseline", "source"),
}
_NEMO_AUDIO = "audio_filepath"


def fields_of(modality: Modality) -> tuple[str, ...]:
    """Return every field that has a meaning in an item, in the order in which they are written.

    What says where in its file an item lies depends on what it is: `index` is the number of pen
    strokes in a pack, and in a line with a recording a field like any other.
    """
    return ("id", modality.value, *_PLACES[modality], "text", "speaker", "group", "split")


RESERVED_NAMES = frozenset({*fields_of(Modality.AUDIO), *Modality, _NEMO_AUDIO})
"""Names that no other field of a recording's line may have."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # one letter would be a Windows drive
_SHOWN = 60  # characters of a wrong value that a message repeats


def modality_of(record: Mapping[str, Any]) -> Modality:
    """Return what a checked line is."""
    return next(modality for modality in Modality if modality in record)


def check_fields(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the line's fields, `audio` under that name, nulls left out, others untouched.

    Args:
        record: one parsed line.
        where: how a message names it.

    Raises:
        ManifestError: a field is missing or holds something else than it should.
    """
    fields = _name_medium(record, where)
    for name in fields_of(modality_of(fields)):
        is_right, needed = _RULES[name]
        if name not in fields:
            continue
        if fields[name] is None:
            del fields[name]
        elif not is_right(fields[name]):
            raise ManifestError(f"{where}: {name!r} is {shown(fields[name])}; it must be {needed}")
    for name in ("offset", "duration"):
        if name in fields:
            fields[name] = float(fields[name])
    for name in ("speaker", "group"):  # numbered, in many a NeMo manifest
        if isinstance(fields.get(name), int):
            fields[name] = str(fields[name])
    return fields


def shown(value: object) -> str:
    """Return a value as it stands in JSON, shortened for a message."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _name_medium(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a copy of the line with one medium, whose path must be local."""
    fields = dict(record)
    if _NEMO_AUDIO in fields:
        if "audio" in fields:
            raise ManifestError(f"{where}: both 'audio' and {_NEMO_AUDIO!r}; leave one of them out")
        fields["audio"] = fields.pop(_NEMO_AUDIO)
    given = [modality for modality in Modality if fields.get(modality) is not None]
    if not given:
        raise ManifestError(
            f"{where}: no 'audio', 'ink' or 'image'; give the path of the recording, pen strokes "
            f"or image"
        )
    if len(given) > 1:
        raise ManifestError(
            f"{where}: both {given[0].value!r} and {given[1].value!r}; an item is one of them"
        )
    (medium,) = given
    for other in {*Modality} - {medium}:
        fields.pop(other, None)  # null
    path = fields[medium]
    if isinstance(path, str) and _SCHEME.match(path):
        raise ManifestError(
            f"{where}: {medium.value!r} is {shown(path)}, but names with :// are reserved; "
            f"download the file and give its path"
        )
    return fields


def _is_path(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value and PurePath(value).name not in ("", "..")


def _is_id(value: object) -> bool:
    return isinstance(value, str) and value != "" and WHITE_SPACE.search(value) is None


def _is_seconds(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        return False


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_name(value: object) -> bool:
    return isinstance(value, str) or _is_whole(value)


def _is_number(value: object) -> bool:
    """Return whether a value is a number that a coordinate may be."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9


def _are_points(value: object, least: int) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) >= least
        and all(
            isinstance(point, (list, tuple)) and len(point) == 2 and all(map(_is_number, point))
            for point in value
        )
    )


def _are_names(value: object) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(isinstance(name, str) and name for name in value)
    )


def _is_source(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"file", "element"}
        and _is_path(value["file"])
        and isinstance(value["element"], str)
    )


_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "id": (_is_id, "a string without spaces, not empty"),
    "audio": (_is_path, "the path of a recording, as a string"),
    "ink": (_is_path, "the path of a file of pen strokes, as a string"),
    "image": (_is_path, "the path of an image, as a string"),
    "offset": (lambda value: _is_seconds(value) and value >= 0, "a number of seconds, 0 or more"),
    "duration": (lambda value: _is_seconds(value) and value > 0, "a number of seconds above 0"),
    "channel": (lambda value: _is_whole(value) and value >= 0, "a whole number, 0 for the first"),
    "index": (lambda value: _is_whole(value) and value >= 0, "a whole number, 0 for the first"),
    "traces": (_are_names, "a list of ids, at least one"),
    "polygon": (lambda value: _are_points(value, 3), "a list of [x, y], at least three"),
    "baseline": (lambda value: _are_points(value, 2), "a list of [x, y], at least two"),
    "source": (_is_source, 'an object {"file": path, "element": id}'),
    "text": (lambda value: isinstance(value, str), 'a string ("" for silence) or null'),
    "speaker": (_is_name, "a string"),
    "group": (_is_name, "a string"),
    "split": (lambda value: isinstance(value, str), "a string"),
}
