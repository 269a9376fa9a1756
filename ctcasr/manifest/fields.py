"""The fields of a manifest line: their names, and what each may hold."""

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from ctcasr.errors import ManifestError
from ctcasr.manifest.ids import WHITE_SPACE

FIELDS = ("id", "audio", "offset", "duration", "channel", "text", "speaker", "group", "split")
"""Every field that has a meaning here, in the order in which they are written."""

_NEMO_AUDIO = "audio_filepath"
_OTHER_MEDIA = {"ink": "pen strokes", "image": "images of lines"}
RESERVED_NAMES = frozenset({*FIELDS, _NEMO_AUDIO, *_OTHER_MEDIA})
"""Names that no other field of a line may have."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # one letter would be a Windows drive
_SHOWN = 60  # characters of a wrong value that a message repeats


def check_fields(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the line's fields, `audio` under that name, nulls left out, others untouched.

    Args:
        record: one parsed line.
        where: how a message names it.

    Raises:
        ManifestError: a field is missing or holds something else than it should.
    """
    fields = _name_audio(record, where)
    for name, (is_right, needed) in _RULES.items():
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


def _name_audio(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a copy of the line with its recording under `audio`, which must be a local path."""
    fields = dict(record)
    for name, kind in _OTHER_MEDIA.items():
        if fields.get(name) is not None:
            raise ManifestError(
                f"{where}: {name!r} means {kind}, but this release reads recordings only; "
                f"give the item an 'audio' path instead"
            )
    if _NEMO_AUDIO in fields:
        if "audio" in fields:
            raise ManifestError(f"{where}: both 'audio' and {_NEMO_AUDIO!r}; leave one of them out")
        fields["audio"] = fields.pop(_NEMO_AUDIO)
    audio = fields.get("audio")
    if audio is None:
        raise ManifestError(f"{where}: no 'audio'; give the path of the recording")
    if isinstance(audio, str) and _SCHEME.match(audio):
        raise ManifestError(
            f"{where}: 'audio' is {shown(audio)}, but names with :// are reserved; "
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


_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "id": (_is_id, "a string without spaces, not empty"),
    "audio": (_is_path, "the path of a recording, as a string"),
    "offset": (lambda value: _is_seconds(value) and value >= 0, "a number of seconds, 0 or more"),
    "duration": (lambda value: _is_seconds(value) and value > 0, "a number of seconds above 0"),
    "channel": (lambda value: _is_whole(value) and value >= 0, "a whole number, 0 for the first"),
    "text": (lambda value: isinstance(value, str), 'a string ("" for silence) or null'),
    "speaker": (_is_name, "a string"),
    "group": (_is_name, "a string"),
    "split": (lambda value: isinstance(value, str), "a string"),
}
