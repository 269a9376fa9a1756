"""Scored utterances as the files that NIST's sclite reads and counts the same errors in.

    ref.trn, hyp.trn    texts by id
    ref.stm, hyp.stm    texts with the place of each utterance in its recording
    hyp.ctm             words with their times

Texts are those of the raw score: with `sclite -s`, which heeds case, the errors are the ones that
this project counts with the costs of NIST. No time is invented: an utterance whose place nobody
knows stands in neither stm nor ctm, one whose words have no times has no words in ctm, and notes
name them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from ctcasr.reporting.nist import as_trn, render_ctm, render_stm
from ctcasr.scoring.results import Results, ScoredUtterance, name_some
from ctcasr.text_rules import DEFAULT_RULES, apply_rules
from ctcasr.transcript import TimedWord, Transcript


class NistFormat(StrEnum):
    """What scored utterances can be written as."""

    TRN = "trn"
    STM = "stm"
    CTM = "ctm"


class Place(NamedTuple):
    """Where an utterance lies: seconds from its recording's beginning, channel from 0."""

    start: float
    end: float
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class NistFiles:
    """The files of one set of scored utterances.

    Attributes:
        texts: by the file's name.
        notes: what is missing from them, a line each.
    """

    texts: Mapping[str, str]
    notes: tuple[str, ...]


def render_scored(
    results: Results,
    *,
    places: Mapping[str, Place],
    words: Mapping[str, Sequence[TimedWord]],
    formats: Sequence[NistFormat],
) -> NistFiles:
    """Return references and outputs as NIST's files. Pure: equal results give equal bytes.

    Args:
        results: the scores.
        places: where utterances lie, by id.
        words: of the outputs, with times from the recording's beginning, by id.
        formats: what to write.
    """
    texts: dict[str, str] = {}
    notes: list[str] = []
    said = [_transcript(one, one.reference, places) for one in results.utterances]
    heard = [_transcript(one, one.hypothesis, places) for one in results.utterances]
    if NistFormat.TRN in formats:
        for name, side in (("ref.trn", said), ("hyp.trn", heard)):
            texts[name] = "".join(f"{as_trn(whole)}\n" for whole in side)
    said, heard = ([whole for whole in side if whole.id in places] for side in (said, heard))
    if NistFormat.STM in formats:
        speakers = {one.id: one.speaker for one in results.utterances}
        texts["ref.stm"] = render_stm(said, speakers)
        texts["hyp.stm"] = render_stm(heard, speakers)
    if NistFormat.CTM in formats:
        heard = [replace(one, words=_timed(one.text, words.get(one.id, ()))) for one in heard]
        texts["hyp.ctm"] = render_ctm(heard)
        mute = [one.id for one in heard if one.text and not one.words]
        notes += _note("hyp.ctm", "without their words, which have no times", mute)
    if set(formats) & {NistFormat.STM, NistFormat.CTM}:
        lost = [one.id for one in results.utterances if one.id not in places]
        notes += _note("stm and ctm", "left out, since nobody says where they begin and end", lost)
    return NistFiles(texts, tuple(notes))


def _transcript(utterance: ScoredUtterance, text: str, places: Mapping[str, Place]) -> Transcript:
    where: dict[str, Any] = {}
    if utterance.id in places:
        start, end, channel = places[utterance.id]
        where = {"offset": start, "duration": end - start, "channel": channel}
    return Transcript(id=utterance.id, source=None, model={}, decoder={}, text=text, **where)


def _timed(text: str, words: Sequence[TimedWord]) -> tuple[TimedWord, ...]:
    """Return the words of a text with their times; none where the times are of other words."""
    tokens = text.split()
    if [apply_rules(word.text, DEFAULT_RULES) for word in words] != tokens:
        return ()
    return tuple(replace(word, text=token) for word, token in zip(words, tokens, strict=True))


def _note(name: str, what: str, ids: Sequence[str]) -> list[str]:
    return [f"{name}: {len(ids)} utterances {what}: {name_some(ids)}"] if ids else []
