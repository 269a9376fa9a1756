"""A manifest of millions of lines, read a line at a time.

Beside the manifest lies an index: where each line begins and how long its item lasts, twelve bytes
a line, mapped into memory. Making it reads every line once, in order; after that a manifest opens
at once, and an item costs the reading of its own line. An index made of another state of the
manifest is made anew.

The index, `train.jsonl.index`, is a file of NumPy's .npy format: one record a line, and a first one
that holds the size of the manifest and when it was last changed.
"""

import json
import math
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from ctcasr.errors import ManifestError
from ctcasr.files import atomic_write
from ctcasr.manifest.json_lines import parse_line
from ctcasr.manifest.utterance import Utterance

_LINE = np.dtype([("offset", "<i8"), ("seconds", "<f4")])
_GZIP_MAGIC = b"\x1f\x8b"


class IndexedManifest(Sequence[Utterance]):
    """The items of a manifest, each parsed when it is asked for.

    Every line needs an `id`, which is not compared with those of other lines, and a mistake in a
    line is met when the line is read.

    Args:
        path: a manifest, not compressed; its index is made where it has none, or an old one.

    Raises:
        ManifestError: it cannot be read, is compressed or empty, or a line is no JSON object.
        OutputError: the index cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = _open_index(path)

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
            if records.dtype == _LINE and tuple(records["offset"][:2].tolist()) == state:
                return records[2:]
        except (OSError, ValueError):
            pass  # none yet, or no index at all
        _make_index(path, place, state)
    raise ManifestError(f"{path}: changed while it was read; wait until it is whole")


def _make_index(path: Path, place: Path, state: tuple[int, int]) -> None:
    offsets, seconds = array("q"), array("f")
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and line.startswith(_GZIP_MAGIC):
                raise ManifestError(f"{path}: compressed, and cannot be indexed; unpack it")
            if line.strip():
                offsets.append(offset)
                seconds.append(_seconds_of(line, f"{path}: line {number}"))
            offset += len(line)
    if not offsets:
        raise ManifestError(f"{path}: the manifest is empty; write one JSON object per line")
    records = np.zeros(2 + len(offsets), dtype=_LINE)
    records["offset"][:2] = state
    records["offset"][2:] = offsets
    records["seconds"][2:] = seconds
    with atomic_write(place) as file:
        np.save(file, records)


def _seconds_of(line: bytes, where: str) -> float:
    try:
        record = json.loads(line)
        if not isinstance(record, dict) or "id" not in record:
            raise ManifestError(f"{where}: an indexed manifest needs an object with 'id'; add it")
        return float(record.get("duration", math.nan))
    except (ValueError, TypeError) as error:
        raise ManifestError(f"{where}: cannot be read ({error}); correct the line") from error
