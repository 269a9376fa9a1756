"""IAM-OnDB: manifests of English lines written on a whiteboard, in the split of task t1.

Learned from are the lines of `trainset.txt`; `testset_v.txt` is dev, `testset_t.txt` dev2, and
`testset_f.txt` the test of published figures, where it is there. No writer is in two of them.

Transcripts are those of the "CSR" section of a form. Some forms set punctuation off with spaces and
some do not, so `tidy` attaches it everywhere; "#" stands for ink that was crossed out or cannot be
read, and is kept.

Source: Liwicki and Bunke 2005, "IAM-OnDB - an On-Line English Sentence Database Acquired from
Handwritten Text on a Whiteboard", ICDAR.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ctcasr.errors import ManifestError
from ctcasr.files import write_text
from ctcasr.manifest import Modality, Utterance
from recipes.corpus import (
    PACK_MANIFEST,
    Source,
    child_or_self,
    is_pack,
    read_ink_pack,
    require_files,
    write_sets,
)

SOURCE = Source(
    name="IAM-OnDB",
    address="https://fki.tic.heia-fr.ch/databases/iam-on-line-handwriting-database",
    size="12,179 lines; lineStrokes-all.tar.gz, ascii-all.tar.gz and the lists of task t1",
    licence="for non-commercial research only, after registration",
)
_LISTS = {
    "train": "trainset.txt",
    "dev": "testset_v.txt",
    "dev2": "testset_t.txt",
    "test": "testset_f.txt",
}
_FORM = re.compile(r"[a-z]\d\d-\d\d\d[a-z]?")
_TWO_IN_ONE = "%" * 11  # a08-551z: two lines of the board on one of the transcript
_WATCHED = 300


@dataclass(frozen=True, slots=True)
class IamManifests:
    """5,364 lines to learn from, and what to judge by.

    Attributes:
        train: lines to learn from.
        watch: some lines of dev, scored after every epoch.
        dev: 1,438 lines to choose by.
        dev2: 1,518 lines.
        test: 3,859 lines of published figures; None where they are not there.
        lm_text: texts of train whose forms share no text with dev, dev2 or test, a line each.
    """

    train: Path
    watch: Path
    dev: Path
    dev2: Path
    test: Path | None
    lm_text: Path


def prepare(corpus: Path, out: Path) -> IamManifests:
    """Write the manifests of IAM-OnDB below `out`.

    Raises:
        ManifestError: the folder is not IAM-OnDB, or not all of it.
    """
    lines = list(read_ink_pack(corpus) if is_pack(corpus) else _read_release(corpus))
    sets: dict[str, list[Utterance]] = {}
    for line in lines:
        form = line.id.rpartition("-")[0]
        tidied = replace(line, text=tidy(line.text or ""), group=form, extra={})
        sets.setdefault(line.split or "", []).append(tidied)
    missing = {"train", "dev", "dev2"} - sets.keys()
    if missing:
        raise ManifestError(
            f"{corpus}: no lines of {', '.join(sorted(missing))}; unpack the download again: "
            f"{SOURCE.address}"
        )
    every = max(1.0, len(sets["dev"]) / _WATCHED)
    watch = [sets["dev"][int(n * every)] for n in range(min(_WATCHED, len(sets["dev"])))]
    paths = write_sets(out, sets)
    paths |= write_sets(out, {"watch": watch})
    elsewhere = {
        text_of(line) for name, of_set in sets.items() if name != "train" for line in of_set
    }
    texts = [line.text for line in sets["train"] if text_of(line) not in elsewhere]
    lm_text = out / "lm_text.txt"
    write_text(lm_text, "".join(f"{text}\n" for text in texts))
    return IamManifests(
        train=paths["train"],
        watch=paths["watch"],
        dev=paths["dev"],
        dev2=paths["dev2"],
        test=paths.get("test"),
        lm_text=lm_text,
    )


def text_of(line: Utterance) -> str:
    """Return which text of the LOB corpus a line was copied from: a01-000 of form a01-000u."""
    return (line.group or "")[:7]


def tidy(text: str) -> str:
    """Return a transcript with punctuation attached to the words it belongs to."""
    text = re.sub(r" +([.,;:!?)])", r"\1", text)
    text = re.sub(r"\( +", "(", text)
    text = re.sub(r" ' (s|t|d|m|ll|re|ve)\b", r"'\1", text)
    opens = True
    parts = text.split('"')
    for number in range(len(parts) - 1):
        before, after = parts[number], parts[number + 1]
        lone = (not before or before.endswith(" ")) and (not after or after.startswith(" "))
        if lone:  # a quotation mark between spaces: every other one opens
            if opens:
                parts[number + 1] = after.lstrip(" ")
            else:
                parts[number] = before.rstrip(" ")
        opens = not opens
    return " ".join('"'.join(parts).split())


def _read_release(corpus: Path) -> Iterator[Utterance]:
    """Yield the lines of a download: lineStrokes/, ascii/ and the lists of task t1."""
    strokes = child_or_self(corpus, "lineStrokes")
    ascii_folder = corpus / "ascii"
    lists = {name: _find_list(corpus, file) for name, file in _LISTS.items()}
    if not ascii_folder.is_dir() or lists["train"] is None:
        raise SOURCE.not_in(corpus, ["lineStrokes/, ascii/ and trainset.txt", PACK_MANIFEST])
    split_of = {
        form: name
        for name, path in lists.items()
        if path is not None
        for form in path.read_text(encoding="utf-8").split()
        if _FORM.fullmatch(form)
    }
    files: dict[str, list[Path]] = {}
    for path in sorted(strokes.rglob("*.xml")):
        files.setdefault(path.stem.rpartition("-")[0], []).append(path)
    for form, name in sorted(split_of.items()):
        yield from _read_form(form, name, files.get(form, []), ascii_folder)


def _find_list(corpus: Path, file: str) -> Path | None:
    return next(iter(sorted(corpus.rglob(file))), None)


def _read_form(form: str, split: str, files: list[Path], ascii_folder: Path) -> Iterator[Utterance]:
    texts = ascii_folder / form[:3] / form[:7] / f"{form}.txt"
    require_files([texts], SOURCE)
    lines = _csr_lines(texts.read_text(encoding="utf-8", errors="replace"))
    if len(lines) != len(files):
        raise ManifestError(
            f"{texts}: {len(lines)} lines of text, and {len(files)} files of strokes; unpack the "
            f"download again: {SOURCE.address}"
        )
    for path, text in zip(files, lines, strict=True):
        yield Utterance(id=path.stem, path=path, modality=Modality.INK, text=text, split=split)


def _csr_lines(content: str) -> list[str]:
    """Return the lines after "CSR:", runs of spaces made one."""
    _, _, section = content.partition("CSR:")
    rows = section.replace(_TWO_IN_ONE, "\n").splitlines()
    return [" ".join(row.split()) for row in rows if row.strip()]
