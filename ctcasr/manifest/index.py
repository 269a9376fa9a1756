"""A manifest of millions of lines, read a line at a time.

Beside the manifest lies an index: where each line begins and how long its item lasts, twelve bytes
a line, mapped into memory. Making it reads every line once, in order, and finds ids that are given
twice; after that a manifest opens at once, and an item costs the reading of its own line. An index
made of another state of the manifest is made anew.

The index, `train.jsonl.index`, is a file of NumPy's .npy format: one record a line, and five before
them that hold the size of the manifest, when it was last changed, and its SHA-256.
"""

import hashlib
import json
import math
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, overload

import numpy as np
from numpy.typing import NDArray

from ctcasr.errors import ManifestError
from ctcasr.files import atomic_write
from ctcasr.manifest.json_lines import parse_line
from ctcasr.manifest.utterance import Utterance

_LINE = np.dtype([("offset", "<i8"), ("seconds", "<f4")])
_HEAD = 5  # records: size, time of change, and three that have room for a digest
_VERSION = 2.0  # in the first one's seconds
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 2**20


class IndexedManifest(Sequence[Utterance]):
    """The items of a manifest, each parsed when it is asked for.

    Every line needs an `id` of its own; any other mistake in a line is met when the line is read.

    Args:
        path: a manifest, not compressed; its index is made where it has none, or an old one.

    Raises:
        ManifestError: it cannot be read, is compressed or empty, a line is no JSON object, or two
            have the same id.
        OutputError: the index cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records = _open_index(path)
        self._lines = np.asarray(self._records)[_HEAD:]

    def __reduce__(self) -> tuple[type["IndexedManifest"], tuple[Path]]:
        """Travel to another process as a path: the index is mapped there, not copied."""
        return IndexedManifest, (self.path,)

    @property
    def sha256(self) -> str:
        """SHA-256 of the manifest, in hexadecimal digits."""
        return self._records[2:_HEAD].tobytes()[: hashlib.sha256().digest_size].hex()

    @property
    def seconds(self) -> NDArray[np.float32]:
        """How long each item lasts; NaN where its line does not say. Mapped, not held."""
        return self._lines["seconds"]

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> list[Utterance]: ...
    def __getitem__(self, index: int | slice) -> Utterance | list[Utterance]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        offset = int(self._lines["offset"][index])
        with self.path.open("rb") as file:  # each time, since threads may share this manifest
            file.seek(offset)
            line = file.readline()
        where = f"{self.path}: item {index}"
        return parse_line(line, where, folder=self.path.parent)


def index_path(manifest: Path) -> Path:
    """Return where the index of a manifest lies."""
    return manifest.with_name(manifest.name + ".index")


def has_more_lines(manifest: Path, limit: int) -> bool:
    """Return whether a manifest has more than `limit` lines; never of one that is compressed.

    No more of it is read than that takes. A manifest that cannot be read has none.
    """
    count = 0
    try:
        with manifest.open("rb") as file:
            if file.read(2) == _GZIP_MAGIC:
                return False
            while count <= limit and (chunk := file.read(_CHUNK)):
                count += chunk.count(b"\n")
    except OSError:
        return False
    return count > limit


def _open_index(path: Path) -> NDArray[np.void]:
    """Return the mapped records of a manifest's lines; make the index first, if need be."""
    try:
        status = path.stat()
    except OSError as error:
        raise ManifestError(f"{path}: no such manifest; check the path") from error
    state = (status.st_size, status.st_mtime_ns)
    place = index_path(path)
    for _ in range(2):
        try:
            records: NDArray[np.void] = np.load(place, mmap_mode="r")
            if records.dtype == _LINE and _state_of(records) == state:
                return records
        except (OSError, ValueError):
            pass  # none yet, or no index at all
        _make_index(path, place, state)
    raise ManifestError(f"{path}: changed while it was read; wait until it is whole")


def _state_of(records: NDArray[np.void]) -> tuple[int, int] | None:
    """Return of which state of the manifest an index is; None where it is of another release."""
    if len(records) <= _HEAD or records["seconds"][0] != _VERSION:
        return None
    size, changed = records["offset"][:2].tolist()
    return size, changed


def _make_index(path: Path, place: Path, state: tuple[int, int]) -> None:
    offsets, seconds, ids = array("q"), array("f"), array("q")
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and line.startswith(_GZIP_MAGIC):
                raise ManifestError(f"{path}: compressed, and cannot be indexed; unpack it")
            if line.strip():
                name, lasts = _read_line(line, f"{path}: line {number}")
                offsets.append(offset)
                seconds.append(lasts)
                ids.append(hash(name))
            offset += len(line)
    if not offsets:
        raise ManifestError(f"{path}: the manifest is empty; write one JSON object per line")
    with path.open("rb") as file:
        _require_other_ids(file, path, offsets, np.frombuffer(ids, np.int64))
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").digest()
    records = np.zeros(_HEAD + len(offsets), dtype=_LINE)
    records["offset"][:2] = state
    records["seconds"][0] = _VERSION
    records[2:_HEAD] = np.frombuffer(digest.ljust(_LINE.itemsize * (_HEAD - 2), b"\0"), _LINE)
    records["offset"][_HEAD:] = offsets
    records["seconds"][_HEAD:] = seconds
    with atomic_write(place) as out:
        np.save(out, records)


def _require_other_ids(
    file: BinaryIO, path: Path, offsets: Sequence[int], hashes: NDArray[np.int64]
) -> None:
    """Refuse two lines with the same id; those with the same hash are read once more."""
    order = np.argsort(hashes, kind="stable")
    alike = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
    known: dict[str, int] = {}
    for item in order[np.union1d(alike, alike + 1)].tolist():
        file.seek(offsets[item])
        name = str(json.loads(file.readline())["id"])
        if name in known:
            raise ManifestError(
                f"{path}: items {known[name]} and {item} both have the id {name!r}; give every "
                f"line its own"
            )
        known[name] = item


def _read_line(line: bytes, where: str) -> tuple[str, float]:
    """Return id and seconds of a line; NaN where it does not say how long it lasts."""
    try:
        record = json.loads(line)
        if not isinstance(record, dict) or "id" not in record:
            raise ManifestError(f"{where}: an indexed manifest needs an object with 'id'; add it")
        return str(record["id"]), float(record.get("duration", math.nan))
    except (ValueError, TypeError) as error:
        raise ManifestError(f"{where}: cannot be read ({error}); correct the line") from error
