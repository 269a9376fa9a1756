"""Transcripts as text: the formats there are, and the plainest three of them.

A plain line, a tab-separated row or a JSON line each; the others have modules of their own. PAGE
and ALTO are written into the page that the lines came from.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from ctcasr.reporting.nist import as_trn, render_ctm, render_stm
from ctcasr.reporting.pages import fill_alto, fill_page
from ctcasr.reporting.praat import render_textgrid
from ctcasr.reporting.subtitles import render_srt, render_vtt
from ctcasr.transcript import Transcript


class TranscriptFormat(StrEnum):
    """What a transcript is written as."""

    TXT = "txt"
    TSV = "tsv"
    JSONL = "jsonl"
    SRT = "srt"
    VTT = "vtt"
    CTM = "ctm"
    STM = "stm"
    TRN = "trn"
    TEXTGRID = "textgrid"
    PAGE = "page"
    ALTO = "alto"

    @property
    def suffix(self) -> str:
        """Of a file's name."""
        if self.fills_pages:
            return ".xml"
        return ".TextGrid" if self is TranscriptFormat.TEXTGRID else f".{self}"

    @property
    def fills_pages(self) -> bool:
        """Whether transcripts are written into a copy of the page that their lines came from."""
        return self in PAGE_RENDERERS

    @property
    def holds_one_recording(self) -> bool:
        """Whether a file can say nothing of a second recording."""
        return self in {TranscriptFormat.SRT, TranscriptFormat.VTT, TranscriptFormat.TEXTGRID}


def as_text(transcript: Transcript) -> str:
    """Return the text alone; the channel before it where one of several was transcribed.

    Empty for silence and for a failed item, so that line n belongs to input n.
    """
    if transcript.separate_channel is not None:
        return f"[channel {transcript.channel}] {transcript.text}".rstrip()
    return transcript.text


def as_row(transcript: Transcript) -> str:
    """Return id and text, separated by a tab."""
    return f"{transcript.id}\t{transcript.text}"


def as_json_line(transcript: Transcript) -> str:
    """Return the whole transcript as one JSON line."""
    return json.dumps(transcript.to_json(), ensure_ascii=False)


LINE_RENDERERS: Mapping[TranscriptFormat, Callable[[Transcript], str]] = {
    TranscriptFormat.TXT: as_text,
    TranscriptFormat.TSV: as_row,
    TranscriptFormat.JSONL: as_json_line,
    TranscriptFormat.TRN: as_trn,
}
"""Formats with a line for each transcript, in the order they come; without the line end."""

FILE_RENDERERS: Mapping[TranscriptFormat, Callable[[Sequence[Transcript]], str]] = {
    TranscriptFormat.SRT: render_srt,
    TranscriptFormat.VTT: render_vtt,
    TranscriptFormat.CTM: render_ctm,
    TranscriptFormat.STM: render_stm,
    TranscriptFormat.TEXTGRID: render_textgrid,
}
"""Formats whose file must be made as a whole: it has a head, or an order of its own."""


PAGE_RENDERERS: Mapping[TranscriptFormat, Callable[[bytes, Mapping[str, Transcript]], str]] = {
    TranscriptFormat.PAGE: fill_page,
    TranscriptFormat.ALTO: fill_alto,
}
"""Formats that are a page with texts filled in: its bytes, and transcripts by element."""


def render_file(form: TranscriptFormat, transcripts: Sequence[Transcript]) -> str:
    """Return the text of a file that holds these transcripts."""
    if form in FILE_RENDERERS:
        return FILE_RENDERERS[form](transcripts)
    return "".join(LINE_RENDERERS[form](transcript) + "\n" for transcript in transcripts)
