"""Language models: make one from texts, and measure how well one foresees texts.

A text is a file with one sentence per line (plain or gzip), a manifest, whose `text` is taken, or
`-` for standard input. What a model counts as a word is chosen by `Tokens`: words, or the labels
of a recognizer, for a model that works without words.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ctcasr.alphabet import Alphabet, Unit, split_units
from ctcasr.decoding.arpa import read_arpa, write_arpa
from ctcasr.decoding.ngram import BEGIN, END, NgramModel, label_token
from ctcasr.decoding.ngram_estimation import Estimate, estimate_ngrams
from ctcasr.errors import LanguageModelError
from ctcasr.files import decode_lines, read_lines
from ctcasr.manifest import read_manifest
from ctcasr.pipeline.outputs import Existing, require_free
from ctcasr.text_rules import DEFAULT_RULES, apply_rules

STANDARD_INPUT = Path("-")
_LARGEST_EXPONENT = 700.0


class TokenUnit(StrEnum):
    """What a language model counts as one word, where no recognizer says."""

    WORD = "word"
    CHAR = "char"
    GRAPHEME = "grapheme"


@dataclass(frozen=True, slots=True)
class Tokens:
    """How a sentence becomes what a model counts.

    Attributes:
        unit: words, or units of text; of the latter, " " is written `<space>`.
        alphabet: the labels of a recognizer, in place of `unit`.
        rules: text rules that come before.
    """

    unit: TokenUnit = TokenUnit.WORD
    alphabet: Alphabet | None = None
    rules: tuple[str, ...] = DEFAULT_RULES

    def split(self, sentence: str) -> list[str]:
        """Return the tokens of a sentence.

        Raises:
            AlphabetError: the alphabet has no label for a part of it.
            ConfigError: a text rule that does not exist.
        """
        text = apply_rules(sentence, self.rules)
        if self.alphabet is None:
            units = split_units(text, Unit(self.unit))
        else:
            units = [self.alphabet.labels[label] for label in self.alphabet.encode(text)]
        return [label_token(unit) for unit in units]


@dataclass(frozen=True, slots=True)
class Text:
    """The sentences of some files, as tokens.

    Attributes:
        sentences: all that are not empty.
        notes: what was left out, for the user.
    """

    sentences: tuple[list[str], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Perplexity:
    """How well a model foresees a text; every sentence ends in `</s>`, which counts as a token.

    Attributes:
        num_sentences: in the text; num_words: without `</s>`; num_unknown: those among them that
            the model does not know.
        log_prob: the natural log of the text's probability; -inf where words are unknown and the
            model has no `<unk>`.
        known_log_prob: the same without the unknown words.
    """

    num_sentences: int
    num_words: int
    num_unknown: int
    log_prob: float
    known_log_prob: float

    @property
    def unknown_rate(self) -> float:
        """The share of the words that the model does not know."""
        return self.num_unknown / self.num_words

    @property
    def perplexity(self) -> float:
        """One over the geometric mean of the tokens' probabilities."""
        return _perplexity(self.log_prob, self.num_words + self.num_sentences)

    @property
    def known_perplexity(self) -> float:
        """The same over all tokens but the unknown words."""
        num_known = self.num_words - self.num_unknown + self.num_sentences
        return _perplexity(self.known_log_prob, num_known)


def train_language_model(
    texts: Sequence[Path],
    output: Path,
    *,
    order: int,
    tokens: Tokens,
    prune: Sequence[int] = (),
    vocabulary: int | None = None,
    existing: Existing = Existing.REFUSE,
) -> tuple[Estimate, tuple[str, ...]]:
    """Estimate a model from texts and write it as an ARPA file.

    Args:
        texts: see the header.
        output: the ARPA file; compressed where its name ends in `.gz`.
        order: the most tokens of an n-gram; `prune` and `vocabulary`: see `estimate_ngrams`.
        tokens: what a sentence is split into.
        prune: the highest count of each order that is left out.
        vocabulary: how many tokens are kept.
        existing: whether `output` may be replaced.

    Returns:
        The estimate, and notes on what was left out of the texts.

    Raises:
        LanguageModelError: a text that cannot be read or holds nothing, or settings that cannot be.
        ManifestError: a manifest that cannot be read.
        AlphabetError: the alphabet has no label for a part of the text.
        ConfigError: a text rule that does not exist.
        OutputError: the output exists, is one of the texts, or cannot be written.
    """
    require_free([output], existing)
    if output in texts:
        raise LanguageModelError(f"{output}: is one of the texts; name another file for the model")
    text = read_texts(texts, tokens)
    estimate = estimate_ngrams(text.sentences, order=order, prune=prune, vocabulary=vocabulary)
    write_arpa(output, estimate.model)
    return estimate, text.notes


def measure_perplexity(
    model: Path, texts: Sequence[Path], *, tokens: Tokens
) -> tuple[Perplexity, tuple[str, ...]]:
    """Return how well the model of an ARPA file foresees texts, and notes on what was left out.

    Raises:
        LanguageModelError: the model or a text cannot be read, the texts hold nothing, or the model
            has no `</s>`.
        ManifestError: a manifest that cannot be read.
        AlphabetError: the alphabet has no label for a part of the text.
        ConfigError: a text rule that does not exist.
    """
    text = read_texts(texts, tokens)
    loaded = read_arpa(model)
    if loaded.end < 0:
        raise LanguageModelError(
            f"{model}: has no {END}, so it cannot foresee where sentences end; use a model that has"
        )
    return perplexity(loaded, text.sentences), text.notes


def perplexity(model: NgramModel, sentences: Sequence[Sequence[str]]) -> Perplexity:
    """Return how well a model that has `</s>` foresees sentences, at least one and none empty."""
    scores = [model.log_prob(sentence) for sentence in sentences]
    return Perplexity(
        num_sentences=len(scores),
        num_words=sum(score.num_words for score in scores),
        num_unknown=sum(score.num_unknown for score in scores),
        log_prob=math.fsum(score.log_prob for score in scores),
        known_log_prob=math.fsum(score.known_log_prob for score in scores),
    )


def read_texts(paths: Sequence[Path], tokens: Tokens) -> Text:
    """Return the sentences of texts.

    Raises:
        LanguageModelError: a text that cannot be read, holds `<s>` or `</s>`, or nothing at all.
        ManifestError: a manifest that cannot be read.
        AlphabetError: the alphabet has no label for a part of the text.
        ConfigError: a text rule that does not exist.
    """
    sentences: list[list[str]] = []
    notes = []
    for path in paths:
        empty: list[str] = []
        for where, line in _lines(path):
            split = tokens.split(line)
            mark = next((mark for mark in (BEGIN, END) if mark in split), None)
            if mark is not None:
                raise LanguageModelError(
                    f"{where}: holds {mark}, which stands for the edge of a sentence; remove it"
                )
            if split:
                sentences.append(split)
            else:
                empty.append(where)
        if empty:
            more = f" (and {len(empty) - 1:,} more)" if len(empty) > 1 else ""
            notes.append(f"{empty[0]}{more}: no text; left out")
    if not sentences:
        named = ", ".join(_name(path) for path in paths)
        raise LanguageModelError(f"{named}: no text; give a sentence on each line, or a manifest")
    return Text(tuple(sentences), tuple(notes))


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each sentence of a file, empty ones too."""
    if path.name.lower().endswith((".jsonl", ".jsonl.gz")):
        for item in read_manifest(path):
            yield f"{path}: item {item.id!r}", item.text or ""
        return
    if path == STANDARD_INPUT:
        lines = decode_lines(sys.stdin.buffer, name=_name(path), error=LanguageModelError)
    else:
        lines = read_lines(path, error=LanguageModelError)
    for number, line in enumerate(lines, start=1):
        yield f"{_name(path)}: line {number}", line


def _name(path: Path) -> str:
    return "standard input" if path == STANDARD_INPUT else str(path)


def _perplexity(log_prob: float, num_tokens: int) -> float:
    nats = -log_prob / num_tokens
    return math.exp(nats) if nats < _LARGEST_EXPONENT else math.inf
