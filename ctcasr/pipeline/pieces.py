"""Manifests made of an alignment: utterances cut between their words, or with their words' times.

With little text a recognizer learns by heart which word, and which letter, comes after which, and
then writes that where something else was said. Cut into pieces of a few words, which
`augment.join_items` puts one after another as they come, the same recordings make sentences that
nobody has said, in the same voice. Where to cut is found by aligning the texts with a first model.
AN4's word errors fell by a third (recipes/an4/RESULTS.md).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from ctcasr.frontends.draws import keyed_generator
from ctcasr.manifest import Utterance, write_manifest
from ctcasr.transcript import TimedWord

MOST_WORDS = 4
"""Words of a piece, at most."""

SHORTEST = 0.1
"""Seconds; a piece that lasts less is left out."""


def write_pieces(
    out: Path, utterances: Iterable[Utterance], words: Mapping[str, Sequence[TimedWord]]
) -> int:
    """Write a manifest of all utterances and of the pieces that they fall into.

    Args:
        out: the manifest to write.
        utterances: labelled.
        words: of the utterances that could be aligned, by id; the others stay whole.

    Returns:
        The number of pieces.

    Raises:
        ManifestError, OutputError: see `write_manifest`.
    """
    whole = list(utterances)
    pieces = [piece for utterance in whole for piece in cut(utterance, words.get(utterance.id, ()))]
    write_manifest(out, [*whole, *pieces])
    return len(pieces)


def write_timed(
    out: Path, utterances: Iterable[Utterance], words: Mapping[str, Sequence[TimedWord]]
) -> int:
    """Write a manifest of the utterances that could be aligned, with `words`: what is said when.

    Args:
        out: the manifest to write.
        utterances: labelled.
        words: of the utterances that could be aligned, by id.

    Returns:
        How many there are.

    Raises:
        ManifestError, OutputError: see `write_manifest`.
    """
    timed = [
        replace(one, extra={**one.extra, "words": [_times(word) for word in words.get(one.id, ())]})
        for one in utterances
        if words.get(one.id) or one.text == ""
    ]
    write_manifest(out, timed)
    return len(timed)


def _times(word: TimedWord) -> dict[str, str | float]:
    return {"text": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}


def cut(utterance: Utterance, words: Sequence[TimedWord]) -> Iterator[Utterance]:
    """Yield an utterance in pieces of one to four words, in order; nothing for a single word.

    A cut lies half-way between the end of a word and the start of the next. How many words a piece
    has depends on the utterance's id alone. What lasts less than a tenth of a second is left out.

    Args:
        utterance: the whole.
        words: all words of its text, in seconds from the beginning of its file.
    """
    generator = keyed_generator("pieces", utterance.id)
    starts = [utterance.offset, *((a.end + b.start) / 2 for a, b in pairwise(words))]
    first = 0
    while len(words) > 1 and first < len(words):
        last = first + int(generator.integers(1, MOST_WORDS + 1))
        if first == 0:
            last = min(last, len(words) - 1)  # the whole is no piece of itself
        last = min(last, len(words))
        if last < len(words):
            duration: float | None = starts[last] - starts[first]
        else:
            duration = _rest(utterance, starts[first])
        if duration is None or duration >= SHORTEST:
            yield replace(
                utterance,
                id=f"{utterance.id}.{first + 1}",
                text=" ".join(word.text for word in words[first:last]),
                offset=starts[first],
                duration=duration,
            )
        first = last


def _rest(utterance: Utterance, start: float) -> float | None:
    """Return the seconds from a time to the utterance's end; None where that is the file's."""
    if utterance.duration is None:
        return None
    return utterance.offset + utterance.duration - start
