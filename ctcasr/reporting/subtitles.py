"""Transcripts as subtitles: SubRip (srt) and WebVTT (vtt).

Words are gathered into cues of at most two lines of 42 characters and 7 seconds; a pause of a
second begins a new one. Characters are what a reader sees as one (grapheme clusters). Text stays in
logical order: players lay out right-to-left scripts themselves. A file holds one recording; where
its channels were transcribed apart, their cues are merged by time, and each names its channel.

WebVTT escapes & < and >, so that an arrow in the text cannot be taken for a time. SubRip has no
escapes: there, "-->" becomes "->". White space inside a word becomes one space.

Sources: WebVTT, W3C, section 4 (syntax), w3.org/TR/webvtt1; SubRip has no standard, and is written
as ffmpeg and VLC read it; the limits are those of Netflix's timed-text style guide.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import regex

from ctcasr.transcript import TimedWord, Transcript

LINE_WIDTH = 42
LINES = 2
LONGEST_S = 7.0
PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown at a time; seconds from the file's beginning.

    Attributes:
        lines: one or two, without escapes.
        channel: of the file, where one of several was transcribed.
    """

    start: float
    end: float
    lines: tuple[str, ...]
    channel: int | None = None


def render_srt(transcripts: Sequence[Transcript]) -> str:
    """Return an SRT file; empty where nothing was said."""
    return "\n".join(
        f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n{_srt_text(cue)}\n"
        for number, cue in enumerate(_all_cues(transcripts), start=1)
    )


def render_vtt(transcripts: Sequence[Transcript]) -> str:
    """Return a WebVTT file; its header alone where nothing was said."""
    return "\n".join(
        [
            "WEBVTT\n",
            *(
                f"{_time(cue.start, '.')} --> {_time(cue.end, '.')}\n{_vtt_text(cue)}\n"
                for cue in _all_cues(transcripts)
            ),
        ]
    )


def split_cues(words: Iterable[TimedWord], *, channel: int | None = None) -> list[Cue]:
    """Return words in cues; see the module for their limits.

    A word longer than a line is cut, and its time with it, in proportion; one longer than
    `LONGEST_S` is shown that long.
    """
    cues: list[Cue] = []
    shown: list[TimedWord] = []
    for piece in itertools.chain.from_iterable(map(_pieces, words)):
        if shown and not _fits(shown, piece, channel):
            cues.append(_cue(shown, channel))
            shown = []
        shown.append(piece)
    return [*cues, _cue(shown, channel)] if shown else cues


def _all_cues(transcripts: Sequence[Transcript]) -> list[Cue]:
    cues = [
        cue
        for transcript in transcripts
        for cue in split_cues(transcript.words, channel=transcript.separate_channel)
    ]
    return sorted(cues, key=lambda cue: (cue.start, cue.channel or 0))


def _fits(shown: Sequence[TimedWord], word: TimedWord, channel: int | None) -> bool:
    return (
        word.start - shown[-1].end < PAUSE_S
        and word.end - shown[0].start <= LONGEST_S
        and len(_wrap([w.text for w in [*shown, word]], channel)) <= LINES
    )


def _cue(words: Sequence[TimedWord], channel: int | None) -> Cue:
    start = round(words[0].start, 3)
    end = min(round(words[-1].end, 3), start + LONGEST_S)
    end = max(end, start + 0.001)  # players pass over a cue that lasts no time
    return Cue(start, end, tuple(_wrap([word.text for word in words], channel)), channel)


def _wrap(words: Sequence[str], channel: int | None) -> list[str]:
    """Return words in the fewest lines; two lines as equal as they can be."""
    taken = len(_channel_mark(channel))
    lines = [words[0]]
    for word in words[1:]:
        room = LINE_WIDTH - (taken if len(lines) == 1 else 0)
        if _width(lines[-1]) + 1 + _width(word) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    if len(lines) != LINES:
        return lines
    halves = [[" ".join(words[:at]), " ".join(words[at:])] for at in range(1, len(words))]
    return min(halves, key=lambda half: max(_width(half[0]) + taken, _width(half[1])))


def _pieces(word: TimedWord) -> list[TimedWord]:
    """Return a word as pieces that fit into a line, its white space made plain."""
    clusters = regex.findall(r"\X", " ".join(word.text.split()))
    room = LINE_WIDTH - len(_channel_mark(9))
    if len(clusters) <= room:
        return [TimedWord("".join(clusters), word.start, word.end)] if clusters else []
    seconds = (word.end - word.start) / len(clusters)
    return [
        TimedWord(
            "".join(clusters[at : at + room]),
            word.start + at * seconds,
            word.start + min(at + room, len(clusters)) * seconds,
        )
        for at in range(0, len(clusters), room)
    ]


def _width(text: str) -> int:
    return len(regex.findall(r"\X", text))


def _srt_text(cue: Cue) -> str:
    return re.sub("-{2,}>", "->", _channel_mark(cue.channel) + "\n".join(cue.lines))


def _vtt_text(cue: Cue) -> str:
    text = escape("\n".join(cue.lines), quote=False)
    return text if cue.channel is None else f"<v channel {cue.channel}>{text}"


def _channel_mark(channel: int | None) -> str:
    return "" if channel is None else f"[channel {channel}] "


def _time(seconds: float, point: str) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
