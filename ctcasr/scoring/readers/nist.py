"""NIST's files: trn, stm and ctm.

    trn   text (id)                                                     a line for each item
    stm   recording channel speaker start end [<label>] text            a line for each segment
    ctm   recording channel start duration word [confidence]            a line for each word

In stm and ctm an item is a recording; where a file holds several channels of it, #0 or #1 ends the
id, and a segment among several is called recording@start-end. Alternatives ({ a / b }) and words
that may be left out ((uh)) are refused: which of them counts is not known here.

Source: SCTK, doc/infmts.htm, github.com/usnistgov/SCTK.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ctcasr.errors import ScoringError
from ctcasr.scoring.nist_tokens import unescape_id, unescape_word
from ctcasr.scoring.readers.item import Item
from ctcasr.scoring.readers.lines import read_lines
from ctcasr.transcript import TimedWord

_TRN = re.compile(r"(?P<text>.*?)\s*\((?P<id>[^()]+)\)\s*", re.DOTALL)
_FIELD = re.compile(r"\S+")
_SPECIAL = re.compile(r"[{}()]")
_IGNORED = "ignore_time_segment_in_scoring"
_NOTHING_SAID = "@"


def read_trn(path: Path) -> list[Item]:
    """Return the items of a trn file; empty lines and comments (;;) are skipped.

    Raises:
        ScoringError: a line that is not understood, with its number and column.
    """
    items = []
    for place, line in _content(path):
        found = _TRN.fullmatch(line)
        if found is None:
            raise ScoringError(
                f"{place}:{len(line.rstrip()) or 1}: no id at the end; write the text, then its id "
                f"in parentheses: one two (utterance-1)"
            )
        items.append(Item(id=unescape_id(found["id"].strip()), text=_text(found["text"], place, 0)))
    return items


def read_stm(path: Path) -> list[Item]:
    """Return the segments of an stm file, in its order.

    Raises:
        ScoringError: a line that is not understood, with its number and column.
    """
    items: list[Item] = []
    names: list[tuple[str, int | None]] = []
    for place, line in _content(path):
        fields = list(_FIELD.finditer(line))
        if len(fields) < 5:
            raise ScoringError(
                f"{place}:{len(line.rstrip()) or 1}: {len(fields)} fields; needed are recording, "
                f"channel, speaker, start, end and the text"
            )
        start, end = (_seconds(field, place) for field in fields[3:5])
        labelled = len(fields) > 5 and fields[5][0].startswith("<") and fields[5][0].endswith(">")
        begin = (fields[5] if labelled else fields[4]).end()
        text = line[begin:]
        names.append((unescape_id(fields[0][0]), _channel(fields[1][0])))
        items.append(
            Item(
                id=None,
                text=None if text.strip().lower() == _IGNORED else _text(text, place, begin),
                speaker=unescape_id(fields[2][0]),
                start=start,
                end=end,
                channel=names[-1][1],
            )
        )
    return _name(items, names)


def read_ctm(path: Path) -> list[Item]:
    """Return an item for each recording, or each of its channels, of a ctm file.

    Raises:
        ScoringError: a line that is not understood, with its number and column.
    """
    words: dict[tuple[str, int | None], list[TimedWord]] = defaultdict(list)
    for place, line in _content(path):
        fields = list(_FIELD.finditer(line))
        if len(fields) < 5:
            raise ScoringError(
                f"{place}:{len(line.rstrip()) or 1}: {len(fields)} fields; needed are recording, "
                f"channel, start, duration, word and, if known, its confidence"
            )
        start, duration = (_seconds(field, place) for field in fields[2:4])
        word = _text(fields[4][0], place, fields[4].start())
        confidence = _confidence(fields[5][0]) if len(fields) > 5 else None
        key = (unescape_id(fields[0][0]), _channel(fields[1][0]))
        words[key].append(TimedWord(word, start, start + duration, confidence))
    items = []
    for (_, channel), heard in words.items():
        in_order = tuple(sorted(heard, key=lambda word: word.start))
        text = " ".join(word.text for word in in_order if word.text)
        items.append(Item(id=None, text=text, channel=channel, words=in_order))
    return _name(items, list(words))


def _content(path: Path) -> Iterator[tuple[str, str]]:
    """Yield place and text of each line that is neither empty nor a comment."""
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip() and not line.startswith(";;"):
            yield f"{path}:{number}", line


def _text(text: str, place: str, begin: int) -> str:
    special = _SPECIAL.search(text)
    if special is not None:
        raise ScoringError(
            f"{place}:{begin + special.start() + 1}: {special[0]!r} in the text; alternatives and "
            f"words that may be left out are not understood, so write what was said"
        )
    return " ".join(unescape_word(word) for word in text.split() if word != _NOTHING_SAID)


def _seconds(field: re.Match[str], place: str) -> float:
    try:
        value = float(field[0])
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ScoringError(
            f"{place}:{field.start() + 1}: {field[0]!r} is no time; give seconds, as in 1.25"
        )
    return value


def _confidence(field: str) -> float | None:
    try:
        value = float(field)
    except ValueError:  # NA
        return None
    return value if 0 <= value <= 1 else None


def _channel(field: str) -> int | None:
    """Return a channel counted from 0: "1" and "A" are the first; None for another name."""
    if field.isdecimal():
        return max(0, int(field) - 1)
    letter = field.upper()
    return ord(letter) - ord("A") if len(letter) == 1 and "A" <= letter <= "Z" else None


def _name(items: Sequence[Item], names: Sequence[tuple[str, int | None]]) -> list[Item]:
    """Give each item its id."""
    channels: dict[str, set[int | None]] = defaultdict(set)
    pieces: dict[tuple[str, int | None], int] = defaultdict(int)
    for recording, channel in names:
        channels[recording].add(channel)
        pieces[recording, channel] += 1
    named = []
    for item, (recording, channel) in zip(items, names, strict=True):
        name = recording
        if len(channels[recording]) > 1:
            name += f"#{channel}"
        if pieces[recording, channel] > 1:
            name += f"@{item.start:.3f}-{item.end:.3f}"
        named.append(replace(item, id=name))
    return named
