"""Manifests from what items come with: tables, folders, corpora, annotation files, pages.

The format is told, or found by looking at a file's suffix and header and at what lies in a folder.
Nothing in the source is changed, run or downloaded.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

from ctcasr.errors import ManifestError
from ctcasr.manifest.readers.audio_folder import collect_folder
from ctcasr.manifest.readers.audio_lookup import is_audio, walk_files
from ctcasr.manifest.readers.collecting import Collector, Imported
from ctcasr.manifest.readers.columns import check_fields_exist
from ctcasr.manifest.readers.elan import collect_elan
from ctcasr.manifest.readers.image_folder import TEXT_SUFFIXES, collect_line_images
from ctcasr.manifest.readers.image_lookup import is_image
from ctcasr.manifest.readers.ink_folder import collect_ink, is_inkml
from ctcasr.manifest.readers.kaldi import collect_kaldi
from ctcasr.manifest.readers.nemo import collect_json_lines
from ctcasr.manifest.readers.pages import collect_pages, is_page
from ctcasr.manifest.readers.tables import (
    DELIMITED_SUFFIXES,
    SPREADSHEET_SUFFIXES,
    collect_common_voice,
    collect_ljspeech,
    collect_table,
    looks_like_common_voice,
    looks_like_ljspeech,
)
from ctcasr.manifest.readers.textgrid import collect_textgrid

__all__ = ["Imported", "SourceFormat", "import_manifest"]

_JSON_SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz")
_JSON_IN_FOLDER = (".jsonl", ".jsonl.gz")  # a .json file in a folder may be anything, as a .txt
_TABLES_IN_FOLDER = (*(s for s in DELIMITED_SUFFIXES if s != ".txt"), *SPREADSHEET_SUFFIXES)


class SourceFormat(StrEnum):
    """What `--from` may say."""

    NEMO = "nemo"
    KALDI = "kaldi"
    LJSPEECH = "ljspeech"
    COMMON_VOICE = "common-voice"
    TABLE = "table"
    FOLDER = "folder"
    ELAN = "elan"
    TEXTGRID = "textgrid"
    IMAGES = "images"
    PAGE = "page"
    ALTO = "alto"
    INK = "ink"


_FORMATS_WITHOUT_COLUMNS: Mapping[SourceFormat, Callable[[Path, Collector], None]] = {
    SourceFormat.NEMO: collect_json_lines,
    SourceFormat.KALDI: collect_kaldi,
    SourceFormat.FOLDER: collect_folder,
    SourceFormat.IMAGES: collect_line_images,
    SourceFormat.PAGE: collect_pages,
    SourceFormat.ALTO: collect_pages,
    SourceFormat.INK: collect_ink,
}
_FORMATS_WITH_COLUMNS: Mapping[
    SourceFormat, Callable[[Path, Collector, Mapping[str, str]], None]
] = {
    SourceFormat.LJSPEECH: collect_ljspeech,
    SourceFormat.COMMON_VOICE: collect_common_voice,
    SourceFormat.TABLE: collect_table,
    SourceFormat.ELAN: collect_elan,
    SourceFormat.TEXTGRID: collect_textgrid,
}
_FOLDERS = (SourceFormat.KALDI, SourceFormat.FOLDER, SourceFormat.IMAGES, SourceFormat.INK)
_FILES = (SourceFormat.NEMO, SourceFormat.LJSPEECH, SourceFormat.TABLE)


def import_manifest(
    source: Path, *, source_format: str | None = None, columns: Mapping[str, str] | None = None
) -> Imported:
    """Return the items of a source that is not a manifest yet.

    Args:
        source: a file or folder.
        source_format: a `SourceFormat`; None finds it by looking.
        columns: manifest field to column name, for tables whose headers do not speak for
            themselves; `{"text": TIER}` for annotation files.

    Raises:
        ManifestError: the source is missing, of no known format or damaged; its columns cannot be
            told; a Kaldi command would have to be run; or not one item could be imported.
    """
    if not source.exists():
        raise ManifestError(f"{source}: no such file or folder; check the path")
    form = _detect(source) if source_format is None else _named(source_format)
    source = _entry(source, form)
    collector = Collector(source, source if source.is_dir() else source.parent)
    if form in _FORMATS_WITH_COLUMNS:
        _FORMATS_WITH_COLUMNS[form](source, collector, columns or {})
    else:
        check_fields_exist(columns or {}, (), source)
        _FORMATS_WITHOUT_COLUMNS[form](source, collector)
    return collector.finish()


def _named(source_format: str) -> SourceFormat:
    try:
        return SourceFormat(source_format)
    except ValueError as error:
        raise ManifestError(
            f"--from {source_format}: no such format; choose from {', '.join(SourceFormat)}"
        ) from error


def _entry(source: Path, form: SourceFormat) -> Path:
    """Return the file or folder that the format's reader takes."""
    if form in _FOLDERS and not source.is_dir():
        raise ManifestError(f"{source}: a file, but {form} is the format of a folder; name that")
    if form is SourceFormat.LJSPEECH and source.is_dir():
        source = source / "metadata.csv"
    elif form is SourceFormat.TABLE and source.is_dir():
        source = _only_file(source, _TABLES_IN_FOLDER, "table")
    elif form is SourceFormat.NEMO and source.is_dir():
        source = _only_file(source, _JSON_IN_FOLDER, "manifest")
    if form in _FILES and not source.is_file():
        raise ManifestError(f"{source}: not a file, but {form} is the format of one; name that")
    return source


def _detect(source: Path) -> SourceFormat:
    form = _detect_in_folder(source) if source.is_dir() else _detect_file(source)
    if form is not None:
        return form
    if is_inkml(source):
        raise ManifestError(f"{source}: pen strokes; name the folder that they lie in")
    if is_image(source):
        raise ManifestError(
            f"{source}: an image; name the folder of its lines, or the PAGE or ALTO file that says "
            f"where they are"
        )
    if is_audio(source):
        raise ManifestError(f"{source}: a recording; name the folder or the table it belongs to")
    raise ManifestError(
        f"{source}: of no format we recognise; name it with --from: {', '.join(SourceFormat)}"
    )


def _detect_file(path: Path) -> SourceFormat | None:
    name = path.name.lower()
    if name.endswith(_JSON_SUFFIXES):
        return SourceFormat.NEMO
    if name.endswith(".eaf"):
        return SourceFormat.ELAN
    if name.endswith(".textgrid"):
        return SourceFormat.TEXTGRID
    if looks_like_ljspeech(path):
        return SourceFormat.LJSPEECH
    if looks_like_common_voice(path):
        return SourceFormat.COMMON_VOICE
    if is_page(path):
        return SourceFormat.PAGE
    if name.endswith((*DELIMITED_SUFFIXES, *SPREADSHEET_SUFFIXES)):
        return SourceFormat.TABLE
    return None


def _detect_in_folder(folder: Path) -> SourceFormat | None:
    """Return the format of a folder; a named layout counts first, then the texts beside audio."""
    if (folder / "wav.scp").is_file():
        return SourceFormat.KALDI
    if looks_like_ljspeech(folder / "metadata.csv"):
        return SourceFormat.LJSPEECH
    if (folder / "clips").is_dir() and any(map(looks_like_common_voice, folder.glob("*.tsv"))):
        return SourceFormat.COMMON_VOICE
    files = list(walk_files(folder))
    recordings = {path.with_suffix("") for path in files if is_audio(path)}
    suffixes = {path.suffix.lower() for path in files}
    if any(path.suffix.lower() == ".txt" and path.with_suffix("") in recordings for path in files):
        return SourceFormat.FOLDER
    if any(path.name.endswith(TEXT_SUFFIXES[0]) for path in files):
        return SourceFormat.IMAGES
    if _files_ending(folder, _JSON_IN_FOLDER):
        return SourceFormat.NEMO
    if any(map(is_page, files)):
        return SourceFormat.PAGE
    if any(map(is_inkml, files)) or any(
        path.suffix.lower() == ".json" and path.with_suffix(".txt") in files for path in files
    ):
        return SourceFormat.INK
    if ".eaf" in suffixes:
        return SourceFormat.ELAN
    if ".textgrid" in suffixes:
        return SourceFormat.TEXTGRID
    if _files_ending(folder, _TABLES_IN_FOLDER):
        return SourceFormat.TABLE
    if recordings:
        return SourceFormat.FOLDER
    return SourceFormat.IMAGES if any(map(is_image, files)) else None


def _files_ending(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Return the files directly in a folder with one of the suffixes, sorted."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(suffixes) and not path.name.startswith((".", "~$"))
    )


def _only_file(folder: Path, suffixes: tuple[str, ...], kind: str) -> Path:
    files = _files_ending(folder, suffixes)
    if len(files) != 1:
        found = ", ".join(path.name for path in files) or "none"
        raise ManifestError(f"{folder}: needs one {kind} to import, found {found}; name the file")
    return files[0]
