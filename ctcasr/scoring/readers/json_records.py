"""JSON: lines of manifests, transcripts and NeMo, and whisper's file for each recording.

    ctcasr    {"id", "text", "speaker", "error", "words", "segments", ...}     one on each line
    NeMo      {"audio_filepath", "text", "pred_text", "offset", "duration"}    one on each line
    whisper   {"text", "segments": [{"start", "end", "text", "words"}]}        one in a file

A line without an id takes it from the path of its recording, as a manifest does. Times that are
missing or make no sense are left out: only exports need them, and say where they lack.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ctcasr.errors import ScoringError
from ctcasr.manifest.fields import RESERVED_NAMES
from ctcasr.manifest.ids import Piece, derive_ids
from ctcasr.scoring.readers.item import Item
from ctcasr.scoring.readers.lines import read_lines, read_text
from ctcasr.scoring.results import Failed
from ctcasr.transcript import TimedWord

# A transcript's times and scores are no facts about what was said.
_KNOWN = RESERVED_NAMES - {"group", "split"} | {"pred_text", "schema", "source", "axis", "log_prob"}
_NAMES = ("id", "audio_filepath", "audio")
_LINE = "write one JSON object on each line"
_WHISPER = 'needed is what whisper writes, {"text", "segments"}'


def read_json_lines(path: Path) -> list[Item]:
    """Return the items of a file of JSON lines; empty lines are skipped.

    Raises:
        ScoringError: a line that is not understood, with its number and column.
    """
    records = [
        (f"{path}:{number}", _parse(line, place=f"{path}:{number}"))
        for number, line in enumerate(read_lines(path), start=1)
        if line.strip()
    ]
    return [
        _item(record, name, place=place)
        for (place, record), name in zip(records, _ids(records), strict=True)
    ]


def holds_json_lines(path: Path) -> bool:
    """Return whether the first line of a file is an item by itself, with an id or a recording.

    Raises:
        ScoringError: the file cannot be read.
    """
    first = next((line for line in read_lines(path) if line.strip()), "")
    try:
        record = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and not record.keys().isdisjoint(_NAMES)


def read_whisper_json(path: Path, *, name: str) -> Item:
    """Return what whisper, or a program that writes as it does, heard in one recording.

    Raises:
        ScoringError: the file cannot be read or holds something else.
    """
    text = read_text(path)
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise ScoringError(
            f"{path}:{error.lineno}:{error.colno}: not JSON ({error.msg}); {_WHISPER}"
        ) from error
    except RecursionError as error:
        raise ScoringError(f"{path}: too many brackets within brackets; {_WHISPER}") from error
    segments = record.get("segments") if isinstance(record, dict) else None
    if not isinstance(record, dict) or not isinstance(record.get("text", segments), str | list):
        found = ", ".join(map(repr, record)) if isinstance(record, dict) else type(record).__name__
        raise ScoringError(f"{path}:1:1: found {found or 'nothing'}; {_WHISPER}")
    segments = segments if isinstance(segments, list) else []
    pieces = [_string(s, "text", place=str(path)) or "" for s in segments if isinstance(s, dict)]
    whole = _string(record, "text", place=str(path))
    return Item(
        id=name,
        text="".join(pieces).strip() if whole is None else whole.strip(),
        words=_words([w for s in segments if isinstance(s, dict) for w in _list(s, "words")]),
    )


def _parse(line: str, *, place: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ScoringError(f"{place}:{error.colno}: not JSON ({error.msg}); {_LINE}") from error
    except RecursionError as error:
        raise ScoringError(f"{place}: too many brackets within brackets; {_LINE}") from error
    if not isinstance(record, dict):
        raise ScoringError(f"{place}: {type(record).__name__} found; {_LINE}")
    return record


def _ids(records: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Return the id of each record; those without one are named after their recordings."""
    given = [_string(record, "id", place=place) for place, record in records]
    pieces = []
    for (place, record), name in zip(records, given, strict=True):
        if name is not None:
            continue
        audio = _string(record, "audio_filepath", place=place) or _string(
            record, "audio", place=place
        )
        if not audio:
            raise ScoringError(
                f'{place}: no "id" and no "audio_filepath"; items are paired by them, so give '
                f"each line one"
            )
        path = PurePosixPath(audio.replace("\\", "/"))
        pieces.append(Piece(path, _number(record, "offset") or 0.0, _channel(record)))
    derived = iter(derive_ids(pieces))
    return [next(derived) if name is None else name for name in given]


def _item(record: Mapping[str, Any], name: str, *, place: str) -> Item:
    start, end = _span(record)
    return Item(
        id=name,
        text=_string(record, "text", place=place),
        output=_string(record, "pred_text", place=place),
        speaker=_speaker(record, place=place),
        failure=_failure(record.get("error")),
        start=start,
        end=end,
        channel=_channel(record),
        words=_words(_list(record, "words")),
        fields={
            key: value
            for key, value in record.items()
            if key not in _KNOWN and isinstance(value, str | int | float | bool)
        },
    )


def _string(record: Mapping[str, Any], key: str, *, place: str) -> str | None:
    value = record.get(key)
    if value is None or isinstance(value, str):
        return value
    raise ScoringError(f"{place}: {key!r} is {json.dumps(value)}; give a string")


def _speaker(record: Mapping[str, Any], *, place: str) -> str | None:
    value = record.get("speaker")
    if isinstance(value, int):  # numbered, in many a NeMo manifest
        return str(value)
    return _string(record, "speaker", place=place)


def _failure(error: Any) -> Failed | None:
    """Return a transcript's "error": null, or {"kind", "message"}."""
    if error is None:
        return None
    message = error.get("message") if isinstance(error, dict) else error
    return Failed(str(message))


def _span(record: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return where the item lies: a transcript's segments, a manifest's offset and duration."""
    segments = [segment for segment in _list(record, "segments") if isinstance(segment, dict)]
    if segments:
        return _number(segments[0], "start"), _number(segments[-1], "end")
    start, duration = _number(record, "offset") or 0.0, _number(record, "duration")
    return (None, None) if duration is None else (start, start + duration)


def _words(records: Sequence[Any]) -> tuple[TimedWord, ...]:
    """Return timed words, ctcasr's or whisper's; none where one lacks its time."""
    words = []
    for record in records:
        text = record.get("text", record.get("word")) if isinstance(record, dict) else None
        start, end = _number(record, "start"), _number(record, "end")
        if not isinstance(text, str) or start is None or end is None:
            return ()
        confidence = _number(record, "confidence")
        probability = _number(record, "probability") if confidence is None else confidence
        words.append(TimedWord(text.strip(), start, end, probability))
    return tuple(words)


def _list(record: Mapping[str, Any], key: str) -> list[Any]:
    value = record.get(key)
    return value if isinstance(value, list) else []


def _number(record: Any, key: str) -> float | None:
    value = record.get(key) if isinstance(record, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if value >= 0 else None


def _channel(record: Mapping[str, Any]) -> int | None:
    value = record.get("channel")
    return value if isinstance(value, int) and not isinstance(value, bool) else None
