"""The words of a training set, for the search: a language model and a lexicon."""

from dataclasses import dataclass
from pathlib import Path

from ctcasr.decoding.tokens import Tokens
from ctcasr.files import write_text
from ctcasr.manifest import read_manifest
from ctcasr.pipeline.language_model import train_language_model
from ctcasr.pipeline.outputs import Existing


@dataclass(frozen=True, slots=True)
class WordFiles:
    """An ARPA file, and a file of all words, one a line."""

    lm: Path
    lexicon: Path


def write_words(train: Path, folder: Path, *, order: int) -> WordFiles:
    """Write both files from the texts of a manifest; they know nothing else.

    Args:
        train: manifest that the recognizer learns from.
        folder: for the two files.
        order: of the language model.

    Raises:
        CtcasrError: see `train_language_model`.
    """
    files = WordFiles(folder / "words.arpa", folder / "lexicon.txt")
    train_language_model(
        [train], files.lm, order=order, tokens=Tokens(), existing=Existing.OVERWRITE
    )
    words = {word for item in read_manifest(train) for word in (item.text or "").split()}
    write_text(files.lexicon, "".join(f"{word}\n" for word in sorted(words)))
    return files
