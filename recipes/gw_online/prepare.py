"""gw-online: manifests of George Washington's letters, written again word by word on a tablet.

Twenty pages of his letter books (270 to 279, 300 to 309), all by one present-day writer. Of the
pages in order, from 0, those with 2 or 7 as the last digit are the test, those with 6 the dev set:
no page is in two sets, but the writer is in all of them, and so are most words.

Source: Wieprecht, Rothacker and Fink 2016, "Word Spotting in Historical Document Collections with
Online-Handwritten Queries", DAS.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctcasr.errors import InkError
from ctcasr.files import atomic_write, read_lines
from ctcasr.manifest import Modality, Utterance
from recipes.corpus import PACK_INK, PACK_MANIFEST, Source, is_pack, read_ink_pack, write_sets

SOURCE = Source(
    name="gw-online",
    address="https://github.com/cwiep/gw-online-dataset",
    size="4,860 words, 380,190 points",
    licence="for non-commercial research and education only",
)
WRITER = "gw-online-writer"


@dataclass(frozen=True, slots=True)
class GwManifests:
    """3,421 words to learn from, 448 to choose by, 991 to judge by."""

    train: Path
    dev: Path
    test: Path


def prepare(corpus: Path, out: Path) -> GwManifests:
    """Write the manifests of gw-online below `out`; of the download, its ink in one pack as well.

    Raises:
        ManifestError: the folder is not gw-online.
        InkError: a file of it is damaged.
    """
    if is_pack(corpus):
        words = [replace(word, group=word.id.partition("-")[0]) for word in read_ink_pack(corpus)]
    else:
        words = _read_release(corpus, out / PACK_INK)
    pages = sorted({word.group or "" for word in words})
    sets: dict[str, list[Utterance]] = {"train": [], "dev": [], "test": []}
    for word in words:
        of_page = _set_of(pages.index(word.group or ""))
        sets[of_page].append(replace(word, speaker=WRITER, extra={}))
    return GwManifests(**write_sets(out, sets))


def _set_of(page: int) -> str:
    """Return the set of a page, counted from 0."""
    if page % 5 == 2:
        return "test"
    return "dev" if page % 10 == 6 else "train"


def _read_release(corpus: Path, pack: Path) -> list[Utterance]:
    """Return the words of a download, and write their ink into a pack."""
    files = sorted(path for path in corpus.glob("*/*_*.txt") if path.parent.name.isdigit())
    if not files:
        raise SOURCE.not_in(corpus, ["2700270/1426619859856_270.txt", PACK_MANIFEST])
    words, tables = [], []
    for index, path in enumerate(files):
        text, table = _read_word(path)
        tables.append(table)
        words.append(
            Utterance(
                id=f"{path.parent.name}-{path.stem}",
                path=pack,
                modality=Modality.INK,
                index=index,
                text=text,
                group=path.parent.name,
            )
        )
    _write_pack(pack, tables)
    return words


def _read_word(path: Path) -> tuple[str, NDArray[np.int64]]:
    """Return the text of a file's first line, and the (N, 3) x, y and pen-up of the others."""
    text, *rows = read_lines(path, error=InkError)
    try:
        table = np.array([[round(float(value)) for value in row.split()] for row in rows if row])
        if table.ndim != 2 or table.shape[1] != 3:
            raise ValueError("other than three numbers in a line")
    except ValueError as error:
        raise InkError(
            f"{path}: no lines of x, y and pen state ({error}); unpack the download again: "
            f"{SOURCE.address}"
        ) from error
    table[-1, 2] = 1
    return text.strip(), table


def _write_pack(path: Path, tables: list[NDArray[np.int64]]) -> None:
    steps = np.concatenate(
        [np.diff(table[:, :2], axis=0, prepend=table[:1, :2]) for table in tables]
    )
    with atomic_write(path) as file:
        np.savez_compressed(
            file,
            dx=steps[:, 0].astype(np.int32),
            dy=steps[:, 1].astype(np.int32),
            pen_up=np.concatenate([table[:, 2] for table in tables]).astype(np.uint8),
            offset=np.cumsum([0, *map(len, tables)]),
        )
