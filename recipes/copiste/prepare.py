"""Copiste d'un jour: manifests of lines that volunteers copied from French Wikipedia in 2024.

Sets are divided by the text that was copied, the four digits in a page's name: the MD5 of these,
modulo 100, is below 80 for train, below 90 for test, and dev is the rest. The pages of a writer
stay together, unless a volunteer copied two texts.

Left out are the headings that name the text, empty lines, page numbers and lines that are only
struck out; and of dev and test the consent that every writer copied at the top of the first page.
In train these lines are marked `formula`, and the language model does not learn from them.

Source: Bibliothèque et Archives nationales du Québec, github.com/banq-dcn/Copiste-d-un-jour.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rapidfuzz import fuzz

from ctcasr.errors import ManifestError
from ctcasr.files import write_text
from ctcasr.manifest import Utterance, read_manifest
from ctcasr.manifest.readers.pages import is_page, read_page
from recipes.corpus import PACK_MANIFEST, Source, is_pack, write_sets

SOURCE = Source(
    name="Copiste d'un jour",
    address="https://github.com/banq-dcn/Copiste-d-un-jour",
    size="333 pages, JPEG and ALTO",
    licence="CC BY 4.0; the consent that writers copied says: for non-commercial ends",
)
FORMULA = (
    "J'ai lu les conditions de participation et j'y consens. Je comprends que mon manuscrit sera "
    "anonymisé et utilisé par BAnQ pour des activités de recherche et développement et qu'il "
    "pourra aussi être publié et partagé sous licence CC-BY pour être utilisé librement à des fins "
    "non commerciales."
)

_TEXT = re.compile(r"wikitexte_(\d{4})")
_PAGE_NUMBER = re.compile(r"\W*\d{1,2}\W*(/\W*\d{1,2}\W*)?")
_STRUCK_OUT = re.compile(r"(\s*>[^<]*<)+\s*")
_LEAST_ALIKE = 75.0  # of 100, to a part of the consent
_TRAIN_BELOW, _TEST_BELOW = 80, 90


@dataclass(frozen=True, slots=True)
class CopisteManifests:
    """Lines to learn from, to choose by and to judge by.

    Attributes:
        train, dev, test: manifests.
        lm_text: the texts of train that are no formula, a line each.
    """

    train: Path
    dev: Path
    test: Path
    lm_text: Path


def prepare(corpus: Path, out: Path) -> CopisteManifests:
    """Write the manifests of Copiste below `out`.

    Raises:
        ManifestError: the folder is not Copiste.
    """
    lines = list(_read_pack(corpus) if is_pack(corpus) else _read_release(corpus))
    sets: dict[str, list[Utterance]] = {"train": [], "dev": [], "test": []}
    for line in lines:
        sets[set_of(line.group or "")].append(line)
    paths = write_sets(out, sets)
    lm_text = out / "lm_text.txt"
    texts = [line.text for line in sets["train"] if not line.extra["formula"]]
    write_text(lm_text, "".join(f"{text}\n" for text in texts))
    return CopisteManifests(**paths, lm_text=lm_text)


def set_of(group: str) -> str:
    """Return the set that all lines of a copied text are in."""
    share = int(hashlib.md5(group.encode(), usedforsecurity=False).hexdigest(), 16) % 100
    if share < _TRAIN_BELOW:
        return "train"
    return "test" if share < _TEST_BELOW else "dev"


def _read_pack(corpus: Path) -> Iterator[Utterance]:
    """Yield the lines of a pack: their images, cut out and levelled."""
    for line in read_manifest(corpus / PACK_MANIFEST):
        yield replace(line, extra={"formula": line.extra.get("formula", False)})


def _read_release(corpus: Path) -> Iterator[Utterance]:
    """Yield the lines of a download: pages, and polygons in ALTO."""
    pages = sorted(path for path in corpus.rglob("*.xml") if is_page(path))
    if not pages:
        raise SOURCE.not_in(corpus, ["ALTO files beside their pages", PACK_MANIFEST])
    for path in pages:
        yield from _read_page(path)


def _read_page(path: Path) -> Iterator[Utterance]:
    named = _TEXT.search(path.stem)
    if named is None:
        raise ManifestError(
            f"{path}: no name like wikitexte_0001; unpack the download again: {SOURCE.address}"
        )
    group = named[1]
    in_formula = True
    for number, line in enumerate(read_page(path, name=path.stem)):
        text = " ".join(unicodedata.normalize("NFC", line.text or "").split())
        if not text or _TEXT.search(text) or not line.polygon:
            continue
        if _PAGE_NUMBER.fullmatch(text) or _STRUCK_OUT.fullmatch(text):
            continue
        in_formula = in_formula and is_formula(text)
        if in_formula and set_of(group) != "train":
            continue
        yield replace(
            line,
            id=f"{path.stem}-{number:03}",
            text=text,
            group=group,
            extra={"formula": in_formula},
        )


def is_formula(text: str) -> bool:
    """Return whether a line at the top of a page is a part of the consent."""
    return fuzz.partial_ratio(text.casefold(), FORMULA.casefold()) >= _LEAST_ALIKE
