"""Items from the rows of a table: CSV, TSV, .xlsx, and the tables of LJSpeech and Common Voice."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctcasr.manifest.fields import RESERVED_NAMES, fields_of
from ctcasr.manifest.readers.audio_lookup import AUDIO_SUFFIXES, AudioFinder
from ctcasr.manifest.readers.collecting import Collector
from ctcasr.manifest.readers.columns import check_fields_exist, choose_columns
from ctcasr.manifest.readers.delimited import Table, read_delimited, read_unquoted
from ctcasr.manifest.readers.image_lookup import IMAGE_SUFFIXES, is_image
from ctcasr.manifest.readers.spreadsheet import read_spreadsheet
from ctcasr.manifest.utterance import Modality, Utterance

SPREADSHEET_SUFFIXES = (".xlsx", ".xlsm")
DELIMITED_SUFFIXES = (".csv", ".tsv", ".tab", ".psv", ".txt")

_LJSPEECH_HEADER = ("id", "transcription", "normalized_transcription")
_FIRST_LINE_BYTES = 65_536  # more is no table
_COMMON_VOICE_SPLITS = ("train", "dev", "test")
_COMMON_VOICE_COLUMNS = {"audio": "path", "text": "sentence", "speaker": "client_id"}


def collect_table(path: Path, collector: Collector, columns: Mapping[str, str]) -> None:
    """Add the rows of any table with a header; columns without a meaning here become `extra`.

    Rows that name an image are images of lines, the others recordings.

    A cell for text that is empty gives an unlabelled item: a table has the cell whether or not
    anyone has transcribed the recording.

    Raises:
        ManifestError: see `read_delimited`, `read_spreadsheet` and `choose_columns`.
    """
    if path.suffix.lower() in SPREADSHEET_SUFFIXES:
        table = read_spreadsheet(path)
    else:
        table = read_delimited(path, collector)
    chosen = choose_columns(table.header, columns, path)
    if "id" not in columns and "id" in chosen and not _all_differ(table, chosen["id"]):
        del chosen["id"]  # called "id", but it numbers something else, speakers for one
    of_images = "image" in columns or any(
        is_image(Path(row[chosen["audio"]]))
        for _, row in table.rows[:1]
        if len(row) > chosen["audio"]
    )
    named = ", ".join(
        f"{'image' if field == 'audio' and of_images else field}={table.header[chosen[field]]}"
        for field in fields_of(Modality.AUDIO)
        if field in chosen
    )
    collector.note(f"{path.name}: columns read as {named}")
    _Rows(path, table, chosen, collector).collect()


def collect_ljspeech(path: Path, collector: Collector, columns: Mapping[str, str]) -> None:
    """Add LJSpeech's metadata.csv: `id|text|text with numbers spelt out`, the last preferred.

    Layout: https://keithito.com/LJ-Speech-Dataset, file README.

    Raises:
        ManifestError: the file cannot be read, or holds nothing.
    """
    check_fields_exist(columns, (), path)
    rows = read_unquoted(path, collector, separator="|")
    filled = [(*row, row[1]) if len(row) == 2 else row for row in rows]
    table = Table(_LJSPEECH_HEADER, tuple(enumerate(filled, start=1)))
    _Rows(path, table, {"id": 0, "audio": 0, "text": 2}, collector).collect()


def collect_common_voice(path: Path, collector: Collector, columns: Mapping[str, str]) -> None:
    """Add a Common Voice table, or of a release's folder train, dev and test, else validated.

    Raises:
        ManifestError: no table in the folder, or one that cannot be read.
    """
    parts = [path] if path.is_file() else [path / f"{name}.tsv" for name in _COMMON_VOICE_SPLITS]
    if not any(part.is_file() for part in parts):
        parts = [path / "validated.tsv"]
    for part in parts:
        if path.is_file() or part.is_file():
            table = read_delimited(part, collector)
            chosen = choose_columns(table.header, {**_COMMON_VOICE_COLUMNS, **columns}, part)
            split = part.stem if part.stem in _COMMON_VOICE_SPLITS else None
            _Rows(part, table, chosen, collector, split=split).collect()


def looks_like_ljspeech(path: Path) -> bool:
    """Tell whether a file is LJSpeech's metadata.csv: no header, and wavs/ beside it."""
    if path.name != "metadata.csv" or not (path.parent / "wavs").is_dir():
        return False
    first, *others = _first_line(path).split("|")
    return bool(others) and AudioFinder([path.parent / "wavs"]).find(first) is not None


def looks_like_common_voice(path: Path) -> bool:
    """Tell by its header whether a file is a table of Common Voice."""
    if path.suffix.lower() != ".tsv":
        return False
    return set(_COMMON_VOICE_COLUMNS.values()) <= set(_first_line(path).split("\t"))


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.readline(_FIRST_LINE_BYTES).decode("utf-8-sig", "replace").rstrip("\r\n")
    except OSError:  # missing, or not ours to read: importing it will say so
        return ""


def _all_differ(table: Table, column: int) -> bool:
    cells = [row[column].strip() for _, row in table.rows if column < len(row)]
    return "" not in cells and len(set(cells)) == len(cells)


@dataclass
class _Rows:
    """One table on its way into a collector."""

    path: Path
    table: Table
    chosen: Mapping[str, int]
    collector: Collector
    split: str | None = None

    def collect(self) -> None:
        """Add every row that names a recording, and leave the others out by number."""
        finder = AudioFinder.beside(self.path, (*AUDIO_SUFFIXES, *IMAGE_SUFFIXES))
        width = len(self.table.header)
        for number, row in self.table.rows:
            item = f"{self.path.name} row {number}"
            if any(row[width:]) or len(row) <= max(self.chosen.values()):
                reason = f"has {len(row)} cells where the header has {width}"
                self.collector.leave_out(item, reason)
                continue
            cells = {field: row[column].strip() for field, column in self.chosen.items()}
            audio = finder.find(cells["audio"]) if cells["audio"] else None
            if not cells["audio"]:
                self.collector.leave_out(item, "names no recording")
            elif audio is None:
                self.collector.leave_out(item, finder.reason(cells["audio"]))
            else:
                self._add(item, audio, cells, self._extra(row))

    def _add(self, item: str, audio: Path, cells: Mapping[str, str], extra: dict[str, str]) -> None:
        numbers: dict[str, Any] = {}
        for field, (convert, needed) in _NUMBERS.items():
            if cells.get(field):
                try:
                    numbers[field] = convert(cells[field])
                except ValueError:
                    reason = f"{field} is {cells[field]!r}; it must be {needed}"
                    self.collector.leave_out(item, reason)
                    return
        utterance = Utterance(
            id=cells.get("id", ""),
            path=audio,
            modality=Modality.IMAGE if is_image(audio) else Modality.AUDIO,
            text=cells["text"] or None,
            speaker=cells.get("speaker") or None,
            group=cells.get("group") or None,
            split=cells.get("split") or self.split,
            extra=extra,
            **numbers,
        )
        self.collector.add(item, utterance)

    def _extra(self, row: tuple[str, ...]) -> dict[str, str]:
        """Return the cells that are no field of ours, by header; a name of ours gets a prefix."""
        others = {
            name: row[column].strip()
            for column, name in enumerate(self.table.header)
            if column not in self.chosen.values() and column < len(row)
        }
        return {
            f"column_{name}" if name in RESERVED_NAMES else name: cell
            for name, cell in others.items()
            if name and cell
        }


def _seconds(cell: str) -> float:
    return float(cell.replace(",", "."))  # a decimal comma, as much of Europe writes it


_NUMBERS: Mapping[str, tuple[Callable[[str], float], str]] = {
    "offset": (_seconds, "a number of seconds"),
    "duration": (_seconds, "a number of seconds"),
    "channel": (int, "a whole number"),
}
