"""Ids for items that came without one: made of the audio path, the same on every system.

An id is the path as the manifest would write it (relative, "/" between folders), without its
suffix, in Unicode NFC, each run of white space replaced by "_". Where one file holds several
items, what tells them apart is appended: the offset in seconds, the channel, or both. Whether the
ids are unique in the end is for the caller to check, who knows what to call the items.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

WHITE_SPACE = re.compile(r"\s+")


class Piece(NamedTuple):
    """The part of a recording that one item is."""

    audio: PurePath
    offset: float
    channel: int | None


def id_from_path(path: PurePath) -> str:
    """Return the id of a whole recording; leading "..", "/" and drive letters do not enter it."""
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
        by_file[piece.audio].append(piece)
    ids = []
    for piece in pieces:
        same_file = by_file[piece.audio]
        name = id_from_path(piece.audio)
        if any(other.offset != piece.offset for other in same_file):
            name += f"-{piece.offset:.6f}".rstrip("0").rstrip(".")
        if any(other.channel != piece.channel for other in same_file):
            name += "-mixed" if piece.channel is None else f"-ch{piece.channel}"
        ids.append(name)
    return ids
