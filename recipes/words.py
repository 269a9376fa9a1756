"""The words of a training set, for the search: a language model and a lexicon."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctcasr.decode_config import DecodeConfig
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


def open_searches(
    texts: Sequence[Path], lm: Path, *, order: int, weights: DecodeConfig
) -> dict[str, DecodeConfig]:
    """Write a language model of words and return the ways to search without and with it.

    Words that it does not know are spelt out.

    Args:
        texts: files of sentences, a line each.
        lm: the ARPA file to write.
        order: of the language model.
        weights: whose threshold, alpha, beta and unknown are taken.

    Raises:
        CtcasrError: see `train_language_model`.
    """
    train_language_model(texts, lm, order=order, tokens=Tokens(), existing=Existing.OVERWRITE)
    chosen = weights.model_dump(include={"threshold", "alpha", "beta", "unknown"})
    return {
        "best path": DecodeConfig(),
        "prefix beam": DecodeConfig(beam=16),
        "prefix beam + LM": DecodeConfig(lm=str(lm), **chosen),
    }
