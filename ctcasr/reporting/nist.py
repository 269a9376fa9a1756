"""Transcripts as the files that NIST's scoring tools read: ctm, stm and trn.

    ctm   recording channel start duration word [confidence]      a line for each word
    stm   recording channel speaker start end text                a line for each transcript
    trn   text (id)                                               a line for each transcript

The recording is the item's id, the channel counts from 1, and where nobody knows the speaker, as no
transcript does, the recording stands for it. Times count from the file's beginning, in seconds.
Lines of ctm and stm are sorted as sclite wants them. A failed item is a comment in ctm and stm,
where comments exist, and an empty text in trn, so that its words count as missed.

What has a meaning of its own there is escaped in words and ids: see scoring/nist_tokens.py.

Source: SCTK, doc/infmts.htm, github.com/usnistgov/SCTK; checked with sclite 2.10.
"""

from collections.abc import Iterable, Mapping, Sequence

from ctcasr.scoring.nist_tokens import escape_id, escape_word
from ctcasr.transcript import TimedWord, Transcript


def as_trn(transcript: Transcript) -> str:
    """Return one trn line, without its end."""
    return f"{_words(transcript.text)} ({escape_id(transcript.id)})".lstrip()


def render_ctm(transcripts: Sequence[Transcript]) -> str:
    """Return a ctm file; words without a confidence have none."""
    spoken = sorted(
        ((*_place(transcript), word) for transcript in transcripts for word in transcript.words),
        key=lambda line: (line[0], line[1], line[2].start),
    )
    lines = (f"{name} {channel} {_word_fields(word)}" for name, channel, word in spoken)
    return _lines([*_failures(transcripts), *lines])


def render_stm(
    transcripts: Sequence[Transcript], speakers: Mapping[str, str | None] | None = None
) -> str:
    """Return an stm file; `speakers` are known by the id of their transcript."""
    known = speakers or {}
    whole = sorted(
        ((*_place(transcript), transcript) for transcript in transcripts if not transcript.error),
        key=lambda line: (line[0], line[1], line[2].offset),
    )
    return _lines(
        [
            *_failures(transcripts),
            *(
                f"{name} {channel} {escape_id(known.get(said.id) or '') or name} {said.offset:.3f} "
                f"{said.offset + (said.duration or 0.0):.3f} {_words(said.text)}".rstrip()
                for name, channel, said in whole
            ),
        ]
    )


def _word_fields(word: TimedWord) -> str:
    start, end = round(word.start, 3), round(word.end, 3)
    confidence = "" if word.confidence is None else f" {word.confidence:.4f}"
    return f"{start:.3f} {end - start:.3f} {escape_word(word.text)}{confidence}"


def _place(transcript: Transcript) -> tuple[str, str]:
    """Return the recording and the channel, counted from 1."""
    name = transcript.id
    if transcript.channel is None:
        return escape_id(name), "1"
    # Where each channel was transcribed, its number ends the id; here it has a field of its own.
    name = name.removesuffix(f"#{transcript.channel}")
    return escape_id(name), str(transcript.channel + 1)


def _failures(transcripts: Iterable[Transcript]) -> list[str]:
    failed = [(transcript.id, transcript.error) for transcript in transcripts if transcript.error]
    return [";; " + " ".join(f"{name}: failed: {error.message}".split()) for name, error in failed]


def _words(text: str) -> str:
    return " ".join(escape_word(word) for word in text.split(" ") if word)


def _lines(lines: Iterable[str]) -> str:
    return "".join(line + "\n" for line in lines)
