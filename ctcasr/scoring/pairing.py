"""Read the two files of `ctcasr score REF HYP` and pair their items.

Understood are JSON lines (manifests, transcripts, hypotheses; `.jsonl`, `.jsonl.gz`), `.tsv` with
an id, a tab and the text on each line, and plain text with one item per line. Items are paired by
id. Plain text has none, so it is paired line by line, and only when the line counts agree. Scoring
needs no recordings: of a manifest only id, text and speaker are looked at.
"""

import gzip
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctcasr.errors import ScoringError
from ctcasr.scoring.results import Failed, Reference, name_some


@dataclass(frozen=True, slots=True)
class _Item:
    """One line of a file; `id` is None in plain text, `text` where there is none."""

    id: str | None
    text: str | None
    speaker: str | None = None
    failure: Failed | None = None


def pair_files(
    reference: Path, hypothesis: Path
) -> tuple[list[Reference], dict[str, str | Failed]]:
    """Return what `score_utterances` takes, from a file of references and one of hypotheses.

    Raises:
        ScoringError: a file that cannot be read, a line that is not understood (with its number and
            column), an id that is missing or given twice, or plain text whose line counts differ.
    """
    said, recognised = _read(reference), _read(hypothesis)
    if _has_ids(said) and _has_ids(recognised):
        reference_ids = [item.id or "" for item in said]
        hypothesis_ids = [item.id or "" for item in recognised]
    else:
        reference_ids = hypothesis_ids = _ids_by_line(
            said, recognised, reference=reference, hypothesis=hypothesis
        )
    _check_distinct(reference_ids, reference)
    _check_distinct(hypothesis_ids, hypothesis)
    return (
        [
            Reference(key, item.text, item.speaker)
            for key, item in zip(reference_ids, said, strict=True)
        ],
        {key: _output(item) for key, item in zip(hypothesis_ids, recognised, strict=True)},
    )


def _has_ids(items: Sequence[_Item]) -> bool:
    return all(item.id is not None for item in items)


def _ids_by_line(
    said: Sequence[_Item], recognised: Sequence[_Item], *, reference: Path, hypothesis: Path
) -> list[str]:
    if len(said) != len(recognised):
        raise ScoringError(
            f"{reference} has {len(said)} lines but {hypothesis} has {len(recognised)}; plain text "
            f"is paired line by line, so give as many lines, or files with ids (.tsv or .jsonl)"
        )
    if not _has_ids(said) and not _has_ids(recognised):
        return [f"line-{number}" for number in range(1, len(said) + 1)]
    named = said if _has_ids(said) else recognised
    return [item.id or "" for item in named]


def _check_distinct(ids: Sequence[str], path: Path) -> None:
    twice = [item for item, count in Counter(ids).items() if count > 1]
    if twice:
        raise ScoringError(f"{path}: ids given twice: {name_some(twice)}; give each item its own")


def _output(item: _Item) -> str | Failed:
    if item.failure is not None:
        return item.failure
    return Failed("the hypothesis has no text") if item.text is None else item.text


def _read(path: Path) -> list[_Item]:
    lines = _read_lines(path)
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    match suffix.lower():
        case ".jsonl":
            return [
                _parse_json(line, place=f"{path}:{number}")
                for number, line in enumerate(lines, start=1)
                if line.strip()
            ]
        case ".tsv":
            return [
                _parse_tsv(line, place=f"{path}:{number}")
                for number, line in enumerate(lines, start=1)
                if line.strip()
            ]
        case _:
            return [_Item(None, line) for line in lines]


def _read_lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScoringError(
            f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8 text"
        ) from error
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ScoringError(f"{path}: cannot be read ({reason}); give a readable file") from error
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _parse_json(line: str, *, place: str) -> _Item:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ScoringError(
            f"{place}:{error.colno}: not JSON ({error.msg}); write one JSON object on each line"
        ) from error
    if not isinstance(record, dict):
        raise ScoringError(
            f"{place}: {type(record).__name__} found; write one JSON object on each line"
        )
    key = _string(record, "id", place=place)
    if key is None:
        raise ScoringError(f'{place}: no "id"; items are paired by it, so give each line one')
    return _Item(
        key,
        _string(record, "text", place=place),
        _string(record, "speaker", place=place),
        _failure(record.get("error")),
    )


def _string(record: Mapping[str, Any], key: str, *, place: str) -> str | None:
    value = record.get(key)
    if value is None or isinstance(value, str):
        return value
    raise ScoringError(f"{place}: {key!r} is {json.dumps(value)}; give a string")


def _failure(error: Any) -> Failed | None:
    """Return a transcript's "error": null, or {"kind", "message"}."""
    if error is None:
        return None
    message = error.get("message") if isinstance(error, dict) else error
    return Failed(str(message))


def _parse_tsv(line: str, *, place: str) -> _Item:
    key, tab, text = line.partition("\t")
    if not tab or not key:
        raise ScoringError(f"{place}: {line[:40]!r} found; write an id, a tab and the text")
    return _Item(key, text)
