"""Pair the items of a reference and of an output, each of any format in scoring/readers.

Items are paired by id. Ids that do not meet are paired by the file names in them, where only one
item of either side is called so: NeMo names /data/wav/a1.wav what the reference calls test/a1.
Plain text has no ids, so it is paired line by line, and only when the line counts agree. Words of a
ctm file go to the segments of an stm file by their middle, as sclite has it. Scoring needs no
recordings.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ctcasr.errors import ScoringError
from ctcasr.scoring.readers import Item, read_items
from ctcasr.scoring.results import Failed, Reference, name_some
from ctcasr.transcript import TimedWord

_SEGMENT = re.compile(r"@[0-9.]+-[0-9.]+$")
_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".sph", ".txt", ".json")


@dataclass(frozen=True, slots=True)
class PairedItems:
    """What was said and what was recognised, in file order; equal ids belong together.

    Every item has an id, and no two of one side have the same.
    """

    said: tuple[Item, ...]
    heard: tuple[Item, ...]

    def references(self) -> list[Reference]:
        """Return the references that `score_utterances` takes."""
        return [
            Reference(item.id or "", item.text, item.speaker, item.fields) for item in self.said
        ]

    def outputs(self) -> dict[str, str | Failed]:
        """Return the hypotheses that `score_utterances` takes."""
        return {item.id or "": _output(item) for item in self.heard}


def pair_items(reference: Path, hypothesis: Path) -> PairedItems:
    """Read two files, or folders, and give items that belong together the reference's id.

    Raises:
        ScoringError: a file that cannot be read, a line that is not understood (with its number and
            column), an id that is missing or given twice, or plain text whose line counts differ.
    """
    said, heard = read_items(reference), read_items(hypothesis)
    if not (_has_ids(said) and _has_ids(heard)):
        ids = _ids_by_line(said, heard, reference=reference, hypothesis=hypothesis)
        said, heard = _named(said, ids), _named(heard, ids)
    _check_distinct(said, reference)
    if reference.suffix.lower() == ".stm" and hypothesis.suffix.lower() == ".ctm":
        heard = _cut_at_segments(said, heard)
    _check_distinct(heard, hypothesis)
    return PairedItems(tuple(said), tuple(_meet(said, heard)))


def _has_ids(items: Sequence[Item]) -> bool:
    return all(item.id is not None for item in items)


def _named(items: Sequence[Item], ids: Sequence[str]) -> list[Item]:
    return [replace(item, id=name) for item, name in zip(items, ids, strict=True)]


def _ids_by_line(
    said: Sequence[Item], heard: Sequence[Item], *, reference: Path, hypothesis: Path
) -> list[str]:
    if len(said) != len(heard):
        raise ScoringError(
            f"{reference} has {len(said)} lines but {hypothesis} has {len(heard)}; plain text is "
            f"paired line by line, so give as many lines, or files with ids (.tsv or .jsonl)"
        )
    if not _has_ids(said) and not _has_ids(heard):
        return [f"line-{number}" for number in range(1, len(said) + 1)]
    named = said if _has_ids(said) else heard
    return [item.id or "" for item in named]


def _check_distinct(items: Sequence[Item], path: Path) -> None:
    counts = Counter(item.id or "" for item in items)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise ScoringError(f"{path}: ids given twice: {name_some(twice)}; give each item its own")


def _output(item: Item) -> str | Failed:
    if item.failure is not None:
        return item.failure
    text = item.text if item.output is None else item.output
    return Failed("the hypothesis has no text") if text is None else text


def _meet(said: Sequence[Item], heard: Sequence[Item]) -> list[Item]:
    """Give outputs whose id no reference has the id of the one reference of the same file name."""
    known = {item.id for item in said}
    met = {item.id for item in heard} & known
    left = _by_file_name([item.id or "" for item in said if item.id not in met])
    strangers = _by_file_name([item.id or "" for item in heard if item.id not in met])
    new_name = {
        ids[0]: left[stem][0]
        for stem, ids in strangers.items()
        if len(ids) == 1 and len(left.get(stem, ())) == 1
    }
    return [replace(item, id=new_name.get(item.id or "", item.id)) for item in heard]


def _by_file_name(ids: Sequence[str]) -> Mapping[str, list[str]]:
    """Return ids by the last part of the path that they may be, without its suffix."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in ids:
        stem = name.replace("\\", "/").rpartition("/")[2]
        for suffix in _SUFFIXES:
            if stem.lower().endswith(suffix) and len(stem) > len(suffix):
                stem = stem[: -len(suffix)]
                break
        found[stem].append(name)
    return found


def _cut_at_segments(segments: Sequence[Item], recordings: Sequence[Item]) -> list[Item]:
    """Return an output for each segment of the recordings that were recognised.

    A word between two segments goes to the nearer one, where it counts as added.
    """
    of_recording: dict[str, list[Item]] = defaultdict(list)
    for segment in segments:
        of_recording[_SEGMENT.sub("", segment.id or "")].append(segment)
    cut = []
    for recording in recordings:
        pieces = of_recording.get(recording.id or "", [])
        if not pieces:
            cut.append(recording)  # to be named as a stranger
        inside: dict[str | None, list[TimedWord]] = {piece.id: [] for piece in pieces}
        for word in recording.words if pieces else ():
            middle = (word.start + word.end) / 2
            inside[min(pieces, key=lambda piece: _distance(piece, middle)).id].append(word)
        cut += [
            replace(
                recording,
                id=name,
                text=" ".join(word.text for word in words if word.text),
                words=tuple(words),
            )
            for name, words in inside.items()
        ]
    return cut


def _distance(segment: Item, time: float) -> float:
    """Return the seconds from a time to a segment; 0 inside."""
    start, end = segment.start or 0.0, segment.end or 0.0
    return max(start - time, time - end, 0.0)
