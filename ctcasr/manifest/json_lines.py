"""Manifests: one JSON object per line, one line per item, paths relative to the manifest's folder.

Reading forgives what editors and other tools do to text files (a byte order mark, CRLF, empty
lines, NeMo's name for the audio) and refuses everything else by line, so that a mistake never
becomes a training example. Writing passes the same checks: what is written can be read again, and
reads back equal. The whole file is held in memory; a line costs some tens of microseconds.

JSON: RFC 8259. Lines: https://jsonlines.org. Schema: `Utterance`.
"""

import functools
import gzip
import json
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ctcasr.errors import ManifestError
from ctcasr.files import atomic_write
from ctcasr.manifest.fields import check_fields, fields_of, modality_of, shown
from ctcasr.manifest.ids import Piece, derive_ids
from ctcasr.manifest.utterance import Modality, Source, Utterance

_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_WHOLE_OBJECT = 'each line must be one whole object like {"audio": "a.wav", "text": "..."}'


def read_manifest(path: Path) -> list[Utterance]:
    """Return the items of a manifest, `.jsonl` or `.jsonl.gz`, in the order of its lines.

    An item without `id` gets one made of its path (see `ctcasr.manifest.ids`). Whether the
    files exist is not looked at.

    Raises:
        ManifestError: the file is missing, empty, a folder or not UTF-8 JSON lines; a field has
            a wrong value; two lines have the same id. Names the line.
    """
    records: dict[int, dict[str, Any]] = {}
    for number, line in _lines(path):
        where = f"{path}: line {number}"
        records[number] = check_fields(_parse(line, where), where)
    if not records:
        raise ManifestError(
            f"{path}: the manifest is empty; write one JSON object per line, or make it with "
            f"`ctcasr manifest SOURCE -o FILE`"
        )
    _fill_ids(records, path)
    resolve = _resolver(path.parent)
    return [_utterance(record, resolve) for record in records.values()]


def parse_line(line: bytes, where: str, *, folder: Path) -> Utterance:
    """Return the item of one line that has an id.

    Args:
        line: as it stands in the file.
        where: it is, for messages.
        folder: of its manifest.

    Raises:
        ManifestError: it is not UTF-8 JSON, or a field is missing or has a wrong value.
    """
    try:
        record = check_fields(_parse(line.decode("utf-8-sig"), where), where)
    except UnicodeDecodeError as error:
        raise ManifestError(f"{where}: not UTF-8; save the manifest as UTF-8") from error
    if "id" not in record:
        raise ManifestError(f"{where}: no 'id'; give the line its own")
    return _utterance(record, _resolver(folder))


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest atomically; a name that ends in `.gz` is compressed.

    Paths are written relative to the manifest's folder, with "/", and absolute only when
    they lie on another drive. Equal items give equal bytes.

    Raises:
        ManifestError: nothing to write, an id twice, or a value no manifest may hold.
        OutputError: the file cannot be written; what stood there is unchanged.
    """
    relative = _relativizer(path.parent)
    seen: set[str] = set()
    lines = []
    for utterance in utterances:
        where = f"{path}: utterance {utterance.id!r}"
        if utterance.id in seen:
            raise ManifestError(f"{where}: the id is given twice; give every item its own")
        seen.add(utterance.id)
        lines.append(_serialise(_record(utterance, relative, where), where))
    if not lines:
        raise ManifestError(f"{path}: there are no items to write; a manifest needs at least one")
    content = b"".join(lines)
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    with atomic_write(path) as file:
        file.write(content)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is not empty."""
    content = _content(path).removeprefix(_UTF8_MARK)
    if content.startswith(_UTF16_MARKS):
        raise ManifestError(f"{path}: the text is UTF-16; save the manifest as UTF-8")
    # not str.splitlines: U+2028 and its like may stand inside a JSON string
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            column = len(line[: error.start].decode("utf-8")) + 1
            raise ManifestError(
                f"{path}: line {number}, column {column}: byte 0x{line[error.start]:02x} is not "
                f"UTF-8; save the manifest as UTF-8"
            ) from error
        if text.strip():
            yield number, text


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ManifestError(f"{path}: no such manifest; check the path") from error
    except OSError as error:
        if path.is_dir():
            raise ManifestError(
                f"{path}: a folder, but a manifest is a file; make one of it with "
                f"`ctcasr manifest {path} -o FILE`"
            ) from error
        raise ManifestError(
            f"{path}: cannot be read ({error.strerror or error}); check its rights"
        ) from error
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ManifestError(
            f"{path}: the gzip file is damaged or cut short ({error}); copy it again"
        ) from error


def _parse(line: str, where: str) -> dict[str, Any]:
    try:
        record = _DECODER.decode(line)
    except json.JSONDecodeError as error:
        raise ManifestError(
            f"{where}, column {error.colno}: not JSON ({error.msg}); {_WHOLE_OBJECT}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{where}: {error}; correct the line") from error
    if not isinstance(record, dict):
        raise ManifestError(f"{where}, column 1: found {shown(record)}; {_WHOLE_OBJECT}")
    if "\\u" in line:
        _refuse_half_characters(record, where)
    return record


def _refuse_half_characters(record: Mapping[str, Any], where: str) -> None:
    """Refuse an escape that names half of a surrogate pair: no file can hold that as UTF-8."""
    try:
        json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise ManifestError(
            f"{where}: \\u{half:04x} is half a character; write the character itself"
        ) from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return keys


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"the number {number} is too large")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number JSON knows")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_float=_finite, parse_constant=_refuse_constant
)


def _fill_ids(records: Mapping[int, dict[str, Any]], path: Path) -> None:
    """Give each line an id, and refuse two lines with the same."""
    missing = [record for record in records.values() if "id" not in record]
    pieces = [
        Piece(
            _from_folder(record[modality_of(record)], path),
            record.get("offset", 0.0),
            record.get("channel"),
            record.get("index"),
            next(iter(record.get("traces", [])), None),
        )
        for record in missing
    ]
    for record, derived in zip(missing, derive_ids(pieces), strict=True):
        record["id"] = derived
    line_of: dict[str, int] = {}
    for number, record in records.items():
        first = line_of.setdefault(record["id"], number)
        if first != number:
            raise ManifestError(
                f"{path}: lines {first} and {number}: both have the id {record['id']!r}; "
                f"give each line its own 'id'"
            )


def _from_folder(written: str, path: Path) -> Path:
    """Return a path relative to the manifest's folder where it lies inside."""
    found, folder = Path(written), path.parent.absolute()
    return found.relative_to(folder) if found.is_relative_to(folder) else found


def _utterance(record: Mapping[str, Any], resolve: Callable[[str], Path]) -> Utterance:
    modality = modality_of(record)
    names = fields_of(modality)
    known = {name: record[name] for name in names if name in record and name != modality}
    if "traces" in known:
        known["traces"] = tuple(known["traces"])
    for name in ("polygon", "baseline"):
        if name in known:
            known[name] = tuple((float(x), float(y)) for x, y in known[name])
    if "source" in known:
        known["source"] = Source(resolve(known["source"]["file"]), known["source"]["element"])
    extra = {name: value for name, value in record.items() if name not in names}
    return Utterance(path=resolve(record[modality]), modality=modality, **known, extra=extra)


def _record(utterance: Utterance, relative: Callable[[Path], str], where: str) -> dict[str, Any]:
    """Return the line of an item; what a line without the field means is left out."""
    names = fields_of(utterance.modality)
    taken = [name for name in utterance.extra if name in {*names, *Modality}]
    if taken:
        raise ManifestError(f"{where}: {taken[0]!r} stands in `extra`; set the field itself")
    record: dict[str, Any] = {}
    for name in names:
        match name:
            case utterance.modality:
                record[name] = relative(utterance.path)
            case "offset" if utterance.offset == 0:
                pass
            case "source" if utterance.source is not None:
                source = utterance.source
                record[name] = {"file": relative(source.file), "element": source.element}
            case _:
                record[name] = getattr(utterance, name)
    return check_fields(record | dict(utterance.extra), where)


def _serialise(record: Mapping[str, Any], where: str) -> bytes:
    try:
        return (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
    except UnicodeEncodeError as error:
        raise ManifestError(
            f"{where}: {record[modality_of(record)]!r} or another field is not valid Unicode; "
            f"rename the file or correct the field"
        ) from error
    except (TypeError, ValueError) as error:
        raise ManifestError(f"{where}: cannot be written as JSON ({error})") from error


def _resolver(folder: Path) -> Callable[[str], Path]:
    """Return what turns the path of a line into one that can be opened.

    ".." is followed as the operating system does, through links, not cut from the text.
    """
    real = functools.cache(os.path.realpath)

    def resolve(written: str) -> Path:
        path = folder / written
        if ".." not in Path(written).parts:
            return path
        return Path(real(path.parent), path.name)

    return resolve


def _relativizer(folder: Path) -> Callable[[Path], str]:
    """Return what turns a file's path into the one to write; undone by `_resolver`."""
    folder = folder.absolute()
    real = functools.cache(os.path.realpath)

    def relative(path: Path) -> str:
        path = path.absolute()
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
        path = Path(real(path.parent), path.name)
        try:
            return Path(os.path.relpath(path, real(folder))).as_posix()
        except ValueError:  # Windows: another drive
            return path.as_posix()

    return relative
