"""Tables as text: CSV, TSV and their relatives, with any separator, quoting and encoding.

Two things are tried and judged, not asked: the separator, by the head of the file, and quoting, by
the whole of it. In a file without quoting, a cell that begins with a quotation mark would swallow
the lines up to the next one, so the reading is kept in which more rows have as many cells as the
header (RFC 4180 quoting, if both are as good).
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from ctcasr.errors import ManifestError
from ctcasr.manifest.readers.collecting import Collector
from ctcasr.manifest.readers.text_file import read_text

_SEPARATORS = "\t;,|"
_HEAD_LINES = 50


@dataclass(frozen=True, slots=True)
class Table:
    """A header and rows, each with the number a spreadsheet would show beside it."""

    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def read_delimited(path: Path, collector: Collector) -> Table:
    """Return a table whose first row is its header; rows without any content are no rows.

    Raises:
        ManifestError: the file cannot be read, is not text, or holds nothing.
    """
    text = read_text(path, collector)
    return make_table(_parse_best(text, _separator(text), path), path)


def read_unquoted(path: Path, collector: Collector, *, separator: str) -> list[tuple[str, ...]]:
    """Return the rows of a table that has neither quoting nor, as far as we know, a header."""
    text = read_text(path, collector)
    return [tuple(line.split(separator)) for line in text.replace("\r\n", "\n").split("\n") if line]


def make_table(rows: list[tuple[str, ...]], path: Path) -> Table:
    """Return rows as a table, the first that has content as its header.

    Raises:
        ManifestError: no row has content.
    """
    numbered = [(number, row) for number, row in enumerate(rows, start=1) if any(row)]
    if not numbered:
        raise ManifestError(f"{path}: the table is empty; it needs a header and a row per item")
    header = tuple(name.strip() for name in numbered[0][1])
    return Table(header, tuple(numbered[1:]))


def _separator(text: str) -> str:
    """Return the separator that divides most rows of the head like its first row."""
    head = "".join(io.StringIO(text, newline="").readlines()[:_HEAD_LINES])

    def fit(separator: str) -> tuple[int, int]:
        rows = [
            row for row in csv.reader(io.StringIO(head, newline=""), delimiter=separator) if row
        ]
        width = len(rows[0]) if rows else 0
        return (sum(len(row) == width for row in rows) if width > 1 else 0, width)

    return max(_SEPARATORS, key=fit)


def _parse_best(text: str, separator: str, path: Path) -> list[tuple[str, ...]]:
    """Return the rows, with or without quoting, whichever leaves fewer that do not fit."""
    readings = []
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
        lines = io.StringIO(text, newline="")
        try:
            rows = [
                tuple(row)
                for row in csv.reader(lines, delimiter=separator, quoting=quoting, strict=True)
            ]
        except csv.Error as error:
            reason = error
            continue
        misfits = sum(len(row) != len(rows[0]) for row in rows if row)
        if misfits == 0:
            return rows
        readings.append((misfits, rows))
    if not readings:
        raise ManifestError(f"{path}: not a table ({reason}); save it as CSV in UTF-8")
    return min(readings, key=lambda reading: reading[0])[1]
