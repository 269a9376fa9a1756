"""Praat TextGrid files, long and short, read by praatio.

Intervals without a label are the gaps between annotations, and give no item. Format:
https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html.
"""

from collections.abc import Mapping
from pathlib import Path

from ctcasr.manifest.readers.annotations import (
    Annotation,
    AnnotationFile,
    Tier,
    UnreadableAnnotationError,
    collect_annotations,
)
from ctcasr.manifest.readers.collecting import Collector
from ctcasr.manifest.readers.text_file import read_text


def collect_textgrid(source: Path, collector: Collector, columns: Mapping[str, str]) -> None:
    """Add the intervals of a TextGrid or of all in a folder; see `collect_annotations`."""

    def read(path: Path) -> AnnotationFile:
        return _read(path, collector)

    collect_annotations(source, collector, columns, suffix=".textgrid", read=read)


def _read(path: Path, collector: Collector) -> AnnotationFile:
    # not praatio's openTextgrid, which knows UTF-8 and UTF-16 only
    from praatio.utilities.textgrid_io import parseTextgridStr

    text = read_text(path, collector)
    try:
        tiers = parseTextgridStr(text)["tiers"]
    except Exception as error:  # praatio raises its own, ValueError, IndexError, AttributeError
        raise UnreadableAnnotationError(f"{type(error).__name__}: {error}") from error
    intervals = []
    for tier in tiers:
        if tier["class"] == "IntervalTier":
            annotations = tuple(
                Annotation(float(start), float(end), label) for start, end, label in tier["entries"]
            )
            intervals.append(Tier(tier["name"], annotations))
        elif tier["entries"]:
            collector.leave_out(f"{path.name} tier {tier['name']!r}", "holds points, not intervals")
    return AnnotationFile(tuple(intervals), linked={})
