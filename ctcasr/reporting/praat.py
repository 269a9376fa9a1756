"""Transcripts as a Praat TextGrid: a tier of words and, of a forced alignment, one of labels.

Written by praatio in Praat's long text form. A file holds one recording; where its channels were
transcribed apart, each has tiers of its own, and their names say so. What no word covers is an
interval without text.

Source: fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html.
"""

from collections.abc import Sequence
from typing import Any

from ctcasr.transcript import TimedLabel, TimedWord, Transcript


def render_textgrid(transcripts: Sequence[Transcript]) -> str:
    """Return a TextGrid file of one recording; times to the millisecond."""
    from praatio.utilities.textgrid_io import getTextgridAsStr

    end = max((round(said.offset + (said.duration or 0.0), 3) for said in transcripts), default=0.0)
    tiers = []
    for said in transcripts:
        channel = said.separate_channel
        suffix = "" if channel is None else f" channel {channel}"
        tiers.append(_tier(f"words{suffix}", said.words, end))
        if said.labels:
            tiers.append(_tier(f"labels{suffix}", said.labels, end))
    text: str = getTextgridAsStr(
        {"xmin": 0.0, "xmax": end, "tiers": tiers},
        format="long_textgrid",
        includeBlankSpaces=True,
        minimumIntervalLength=None,
    )
    return text


def _tier(
    name: str, items: Sequence[TimedWord] | Sequence[TimedLabel], end: float
) -> dict[str, Any]:
    entries = [(round(item.start, 3), round(item.end, 3), item.text) for item in items]
    return {"class": "IntervalTier", "name": name, "xmin": 0.0, "xmax": end, "entries": entries}
