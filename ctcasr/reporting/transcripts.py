"""Transcripts as text: one plain line, one tab-separated row, or one JSON line each."""

import json
from collections.abc import Callable, Mapping
from enum import StrEnum

from ctcasr.transcript import Transcript


class TranscriptFormat(StrEnum):
    """What a transcript is written as."""

    TXT = "txt"
    TSV = "tsv"
    JSONL = "jsonl"


def as_text(transcript: Transcript) -> str:
    """Return the text alone; the channel before it where one of several was transcribed.

    Empty for silence and for a failed item, so that line n belongs to input n.
    """
    if transcript.channel is not None and "#" in transcript.id:
        return f"[channel {transcript.channel}] {transcript.text}".rstrip()
    return transcript.text


def as_row(transcript: Transcript) -> str:
    """Return id and text, separated by a tab."""
    return f"{transcript.id}\t{transcript.text}"


def as_json_line(transcript: Transcript) -> str:
    """Return the whole transcript as one JSON line."""
    return json.dumps(transcript.to_json(), ensure_ascii=False)


RENDERERS: Mapping[TranscriptFormat, Callable[[Transcript], str]] = {
    TranscriptFormat.TXT: as_text,
    TranscriptFormat.TSV: as_row,
    TranscriptFormat.JSONL: as_json_line,
}
"""How each format writes a transcript, without the line end."""
