"""Ids for items that came without one: made of the path, the same on every system.

An id is the path as the manifest would write it (relative, "/" between folders), without its
suffix, in Unicode NFC, each run of white space replaced by "_". Where one file holds several
items, what tells them apart is appended: the offset in seconds, the channel, or both; the index in
a pack of pen strokes, or the first of the strokes' ids. Whether the ids are unique in the end is
for the caller to check, who knows what to call the items.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

WHITE_SPACE = re.compile(r"\s+")


class Piece(NamedTuple):
    """The part of a file that one item is."""

    path: PurePath
    offset: float = 0.0
    channel: int | None = None
    number: int | None = None
    trace: str | None = None


def id_from_path(path: PurePath) -> str:
    """Return the id of a whole file; leading "..", "/" and drive letters do not enter it."""
    parts = [part for part in path.parts if part not in (path.anchor, ".", "..")]
    name = "/".join([*parts[:-1], path.stem])
    return without_spaces(unicodedata.normalize("NFC", name))


def without_spaces(name: str) -> str:
    """Return `name` with "_" for each run of white space, as an id must be."""
    return WHITE_SPACE.sub("_", name)


def derive_ids(pieces: Sequence[Piece]) -> list[str]:
    """Return an id for each piece, in order; equal pieces get equal ids."""
    by_file: dict[PurePath, list[Piece]] = defaultdict(list)
    for piece in pieces:
        by_file[piece.path].append(piece)
    ids = []
    for piece in pieces:
        same_file = by_file[piece.path]
        name = id_from_path(piece.path)
        if any(other.offset != piece.offset for other in same_file):
            name += f"-{piece.offset:.6f}".rstrip("0").rstrip(".")
        if any(other.channel != piece.channel for other in same_file):
            name += "-mixed" if piece.channel is None else f"-ch{piece.channel}"
        if piece.number is not None:
            name += f"-{piece.number}"
        if any(other.trace != piece.trace for other in same_file):
            name += "-all" if piece.trace is None else f"-{without_spaces(piece.trace)}"
        ids.append(name)
    return ids
