"""Reading references and outputs, whichever system wrote them.

.jsonl[.gz]       manifests, transcripts, NeMo's manifests with "pred_text"
.json             what whisper writes for one recording; its stem is the id
.tsv              an id, a tab and the text on each line
.trn, .stm, .ctm  NIST's
a folder          of .json (whisper) or .txt files, one for each recording
anything else     plain text with one item per line
"""

from pathlib import Path

from ctcasr.errors import ScoringError
from ctcasr.manifest.ids import id_from_path
from ctcasr.scoring.readers.item import Item
from ctcasr.scoring.readers.json_records import (
    holds_json_lines,
    read_json_lines,
    read_whisper_json,
)
from ctcasr.scoring.readers.lines import read_lines, read_text
from ctcasr.scoring.readers.nist import read_ctm, read_stm, read_trn

__all__ = ["Item", "read_items"]


def read_items(path: Path) -> list[Item]:
    """Return the items of a file or folder, in its order; plain text has no ids.

    Raises:
        ScoringError: it cannot be read or understood; the message names line and column.
    """
    if path.is_dir():
        return _read_folder(path)
    inner = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    match inner.suffix.lower():
        case ".jsonl":
            return read_json_lines(path)
        case ".json" if holds_json_lines(path):
            return read_json_lines(path)
        case ".json":
            return [read_whisper_json(path, name=inner.stem)]
        case ".tsv":
            return _read_table(path)
        case ".trn":
            return read_trn(path)
        case ".stm":
            return read_stm(path)
        case ".ctm":
            return read_ctm(path)
        case _:
            return [Item(id=None, text=line) for line in read_lines(path)]


def _read_table(path: Path) -> list[Item]:
    items = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        name, tab, text = line.partition("\t")
        if not tab or not name:
            raise ScoringError(
                f"{path}:{number}:{len(name) + 1}: {line[:40]!r} found; write an id, a tab and the "
                f"text"
            )
        items.append(Item(id=name, text=text))
    return items


def _read_folder(folder: Path) -> list[Item]:
    """Return an item for each file; whisper writes .txt beside its .json, which says more."""
    files = {
        suffix: {
            id_from_path(path.relative_to(folder)): path
            for path in sorted(folder.rglob(f"*{suffix}"))
            if path.is_file()
        }
        for suffix in (".json", ".txt")
    }
    transcripts, texts = files[".json"], files[".txt"]
    if not transcripts and not texts:
        raise ScoringError(
            f"{folder}: no .txt and no .json file in this folder; give one for each recording, "
            f"named like it"
        )
    if not transcripts:
        return [
            Item(id=name, text=" ".join(read_text(path).split())) for name, path in texts.items()
        ]
    alone = sorted(texts.keys() - transcripts.keys())
    if alone:
        raise ScoringError(
            f"{folder}: {texts[alone[0]].name} has no .json file beside it, but others have; give "
            f"a folder with one kind of files"
        )
    return [read_whisper_json(path, name=name) for name, path in transcripts.items()]
