"""Language models: make one from texts, and measure how well one foresees texts.

A text is a file with one sentence per line (plain or gzip), a manifest, whose `text` is taken, or
`-` for standard input. What a model counts as a word is chosen by `Tokens`: words, or the labels
of a recognizer, for a model that works without words. Models are n-grams (ARPA files) or recurrent
networks (`.safetensors`).
"""

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctcasr.decoding.arpa import read_arpa, write_arpa
from ctcasr.decoding.ngram import BEGIN, END, SentenceScore
from ctcasr.decoding.ngram_estimation import Estimate, estimate_ngrams
from ctcasr.decoding.tokens import RECURRENT_SUFFIX, Tokens
from ctcasr.errors import LanguageModelError
from ctcasr.files import decode_lines, read_lines
from ctcasr.manifest import read_manifest
from ctcasr.pipeline.outputs import Existing, require_free
from ctcasr.text_rules import apply_rules

STANDARD_INPUT = Path("-")
_LARGEST_EXPONENT = 700.0


@dataclass(frozen=True, slots=True)
class Text:
    """The sentences of some files, as tokens.

    Attributes:
        sentences: all that are not empty.
        num_words: white-space words in them, and num_chars: code points, spaces among them; both
            after the text rules, whatever the tokens are.
        notes: what was left out, for the user.
    """

    sentences: tuple[list[str], ...]
    num_words: int
    num_chars: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Perplexity:
    """How well a model foresees a text.

    Every sentence ends in `</s>`, which counts as a token, as a word and as a character, so that
    models of different units can be compared. An unknown token costs what the model has `<unk>` at,
    and nothing for its spelling: compare texts without any, or the perplexity without them.

    Attributes:
        num_sentences: in the text; num_tokens: without `</s>`; num_unknown: those among them that
            the model does not know.
        num_words, num_chars: see `Text`.
        log_prob: the natural log of the text's probability; -inf where tokens are unknown and the
            model has no `<unk>`.
        known_log_prob: the same without the unknown tokens.
    """

    num_sentences: int
    num_tokens: int
    num_unknown: int
    num_words: int
    num_chars: int
    log_prob: float
    known_log_prob: float

    @property
    def unknown_rate(self) -> float:
        """The share of the tokens that the model does not know."""
        return self.num_unknown / self.num_tokens

    @property
    def perplexity(self) -> float:
        """One over the geometric mean of the tokens' probabilities."""
        return _perplexity(self.log_prob, self.num_tokens + self.num_sentences)

    @property
    def known_perplexity(self) -> float:
        """The same over all tokens but the unknown ones."""
        num_known = self.num_tokens - self.num_unknown + self.num_sentences
        return _perplexity(self.known_log_prob, num_known)

    @property
    def per_word(self) -> float:
        """The same probability of the text, over its words and ends."""
        return _perplexity(self.log_prob, self.num_words + self.num_sentences)

    @property
    def per_char(self) -> float:
        """The same probability of the text, over its characters and ends."""
        return _perplexity(self.log_prob, self.num_chars + self.num_sentences)


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
    model: Path, texts: Sequence[Path], *, tokens: Tokens | None
) -> tuple[Perplexity, tuple[str, ...]]:
    """Return how well a model foresees texts, and notes on what was left out.

    Args:
        model: an ARPA file, or the `.safetensors` file of a recurrent model.
        texts: see the header.
        tokens: what a sentence is split into; words by the default text rules where not given. A
            recurrent model says that itself.

    Raises:
        LanguageModelError: the model or a text cannot be read, the texts hold nothing, the model
            has no `</s>`, or brings tokens of its own.
        ModelFileError: a damaged recurrent model.
        ManifestError: a manifest that cannot be read.
        AlphabetError: the alphabet has no label for a part of the text.
        ConfigError: a text rule that does not exist.
    """
    if model.suffix == RECURRENT_SUFFIX:
        from ctcasr.recurrent_lm import read_recurrent_lm  # brings torch

        recurrent = read_recurrent_lm(model)
        if tokens is not None:
            raise LanguageModelError(
                f"{model}: says itself what its units and text rules are "
                f"({recurrent.tokens.unit}; {','.join(recurrent.tokens.rules) or 'none'}); leave "
                f"--unit, --labels-of and --rules out"
            )
        text = read_texts(texts, recurrent.tokens)
        return perplexity(recurrent.score(text.sentences), text), text.notes
    text = read_texts(texts, tokens or Tokens())
    loaded = read_arpa(model)
    if loaded.end < 0:
        raise LanguageModelError(
            f"{model}: has no {END}, so it cannot foresee where sentences end; use a model that has"
        )
    return perplexity([loaded.log_prob(sentence) for sentence in text.sentences], text), text.notes


def perplexity(scores: Sequence[SentenceScore], text: Text) -> Perplexity:
    """Return how well a model foresees a text, from what it says of each sentence."""
    return Perplexity(
        num_sentences=len(scores),
        num_tokens=sum(score.num_words for score in scores),
        num_unknown=sum(score.num_unknown for score in scores),
        num_words=text.num_words,
        num_chars=text.num_chars,
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
    num_words = num_chars = 0
    notes = []
    for path in paths:
        empty: list[str] = []
        for where, line in _lines(path):
            ruled = apply_rules(line, tokens.rules)
            split = tokens.split_ruled(ruled)
            mark = next((mark for mark in (BEGIN, END) if mark in split), None)
            if mark is not None:
                raise LanguageModelError(
                    f"{where}: holds {mark}, which stands for the edge of a sentence; remove it"
                )
            if split:
                sentences.append(split)
                num_words += len(ruled.split())
                num_chars += len(ruled)
            else:
                empty.append(where)
        if empty:
            more = f" (and {len(empty) - 1:,} more)" if len(empty) > 1 else ""
            notes.append(f"{empty[0]}{more}: no text; left out")
    if not sentences:
        named = ", ".join(_name(path) for path in paths)
        raise LanguageModelError(f"{named}: no text; give a sentence on each line, or a manifest")
    return Text(tuple(sentences), num_words, num_chars, tuple(notes))


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
