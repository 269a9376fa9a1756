"""Random searches: small alphabets of every kind, with every kind of context, from a seed.

Several test files and the fuzz harness search them; each case brings what a text is worth by the
formula at the head of ctcasr/decoding/context.py, computed from whole words.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcasr.alphabet import Alphabet, Unit
from ctcasr.decoding import NgramModel, PrefixBeamDecoder
from tests.oracles import NgramWeights, hotword_worth, language_worth

LABELS = {
    "characters": ("a", "b", " "),
    "pieces": ("▁a", "▁b", "a", "▁"),
    "words": ("a", "b", "c"),
}
SPELLINGS: dict[str, dict[str, tuple[tuple[str, ...], ...]]] = {
    "characters": {w: (tuple(w),) for w in ("a", "b", "ab", "ba", "aab")},
    "pieces": {"a": (("▁a",), ("a",)), "b": (("▁b",),), "aa": (("▁a", "a"),), "ba": (("▁b", "a"),)},
    "words": {w: ((w,),) for w in ("a", "b", "c")},
}
"""How words may be spelt; the first way is the one that the alphabet itself would choose."""

PHRASES = ("a", "b", "a b", "b a", "a a", "a b a", "aa", "ab", "ba", "ba ab", "c")


@dataclass(frozen=True, slots=True)
class Case:
    """A decoder's settings, and what they mean.

    Attributes:
        kind: of labels; a key of LABELS.
        alphabet: with the blank anywhere.
        settings: of PrefixBeamDecoder, without beam and thresholds.
        ngrams: those of the language model; None without one.
        order: the longest.
        words: the lexicon; None where words are not followed.
        is_closed: whether other words are forbidden.
    """

    kind: str
    alphabet: Alphabet
    settings: dict[str, Any]
    ngrams: NgramWeights | None
    order: int
    words: tuple[str, ...] | None
    is_closed: bool

    def decoder(self, **search: Any) -> PrefixBeamDecoder:
        """Return the decoder; `search` are beam, thresholds and the like."""
        return PrefixBeamDecoder(self.alphabet, **self.settings, **search)

    def worth(self, labels: Sequence[int]) -> float:
        """Return what a label sequence is worth as a whole text; -inf where it is forbidden."""
        names = [self.alphabet.labels[label] for label in labels]
        spans = self.alphabet.word_spans(labels)
        said = [(word, tuple(names[first:stop])) for word, first, stop in spans]
        total = hotword_worth(
            [word if self._is_own_spelling(word, pieces) else None for word, pieces in said],
            self.settings.get("hotwords", {}),
        )
        if self.settings.get("lm_unit") == "label":
            return total + self._language([{" ": "<space>"}.get(name, name) for name in names])
        if self.words is None:
            return total + (self._language(names) if self.ngrams is not None else 0.0)
        tokens = [word if self._is_spelt(word, pieces) else None for word, pieces in said]
        if self.is_closed and None in tokens:
            return -np.inf
        total += sum(
            self._spelling(pieces)
            for (_, pieces), token in zip(said, tokens, strict=True)
            if not token
        )
        return total + self._language(tokens)

    def _spelling(self, pieces: tuple[str, ...]) -> float:
        """Return what it costs to spell a word that is not in the lexicon."""
        counts = Counter(self.alphabet.labels)
        for way in {way for word in self.words or () for way in self._ways(word)}:
            counts.update(way)
        weight = self.settings["alpha"] if self.ngrams is not None else 1.0
        shares = (counts[piece] / counts.total() for piece in pieces if piece not in (" ", "▁"))
        return float(weight * sum(np.log(share) for share in shares))

    def _language(self, tokens: Sequence[str | None]) -> float:
        weights = {name: self.settings[name] for name in ("alpha", "beta", "unknown")}
        return language_worth(tokens, ngrams=self.ngrams, order=self.order, **weights)

    def _is_spelt(self, word: str, pieces: tuple[str, ...]) -> bool:
        return word in (self.words or ()) and pieces in self._ways(word)

    def _ways(self, word: str) -> tuple[tuple[str, ...], ...]:
        ways = SPELLINGS[self.kind].get(word, ())
        return ways if self.settings.get("lexicon") else ways[:1]

    def _is_own_spelling(self, word: str, pieces: tuple[str, ...]) -> bool:
        return pieces in SPELLINGS[self.kind].get(word, ())[:1]


def random_case(rng: np.random.Generator, *, kind: str | None = None) -> Case:
    """Return any of the alphabets with any language model, lexicon and hotwords, or without."""
    kind = kind or str(rng.choice(list(LABELS)))
    names = list(LABELS[kind])
    blank = int(rng.integers(len(names) + 1))
    names.insert(blank, "<blank>")
    unit = Unit.WORD if kind == "words" else Unit.CHAR
    alphabet = Alphabet(tuple(names), blank=blank, unit=unit)
    settings: dict[str, Any] = {
        "alpha": float(rng.choice([0.0, 0.3, 1.0, 2.5])),
        "beta": float(rng.choice([0.0, -1.0, 1.0, 3.0])),
        "unknown": float(rng.choice([0.0, -1.0, -5.0, -200.0])),
    }
    spellings = SPELLINGS[kind]
    order, ngrams, words = 1, None, None
    model_of = rng.choice(["nothing", "words", "labels"], p=[0.3, 0.5, 0.2])
    if model_of != "nothing":
        order = int(rng.integers(1, 4))
        labels = ["<space>" if name == " " else name for name in LABELS[kind]]
        counted = _some(rng, labels if model_of == "labels" else list(spellings))
        ngrams = random_ngrams(rng, counted, order=order)
        settings["lm"] = NgramModel.from_ngrams(order, ngrams)
        if model_of == "labels":
            settings["lm_unit"] = "label"
        elif kind != "words":
            words = tuple(counted)
    is_closed = False
    if model_of == "nothing" or (model_of == "words" and kind != "words"):
        given = _some(rng, list(spellings)) if rng.random() < 0.6 else None
        if given is not None:
            if words is not None and set(words).isdisjoint(given):
                given.append(words[0])  # a model that knows no word of the lexicon is refused
            words = tuple(given)
            settings["lexicon"] = [" ".join((w, *way)) for w in words for way in spellings[w]]
        if words is not None:
            is_closed = given is not None
            if rng.random() < 0.5:
                is_closed = bool(rng.random() < 0.5)
                settings["open_vocabulary"] = not is_closed
    if rng.random() < 0.5:
        settings["hotwords"] = random_hotwords(rng, kind)
    return Case(kind, alphabet, settings, ngrams, order, words, is_closed)


def random_hotwords(rng: np.random.Generator, kind: str) -> dict[str, float]:
    """Return some phrases and boosts."""
    fitting = [p for p in PHRASES if all(word in SPELLINGS[kind] for word in p.split())]
    return {phrase: float(rng.choice([0.5, 2.0, 5.0])) for phrase in _some(rng, fitting)}


def random_ngrams(
    rng: np.random.Generator, words: Sequence[str], *, order: int
) -> dict[tuple[str, ...], tuple[float, float]]:
    """Return n-grams in natural logs, that need not sum to one, nor back off below one."""
    vocabulary = [*words, *(mark for mark in ("<s>", "</s>", "<unk>") if rng.random() < 0.7)]

    def weights(size: int) -> tuple[float, float]:
        backoff = np.float32(rng.uniform(-2.0, 1.0)) if size < order else 0.0
        return float(np.float32(-rng.uniform(0.05, 6.0))), float(backoff)

    ngrams: dict[tuple[str, ...], tuple[float, float]]
    ngrams = {(word,): weights(1) for word in vocabulary}
    for size in range(2, order + 1):
        for history in [ngram for ngram in ngrams if len(ngram) == size - 1]:
            for word in vocabulary:
                if word != "<s>" and history[-1] != "</s>" and rng.random() < 0.3:
                    ngrams[(*history, word)] = weights(size)
    return ngrams


def random_frames(
    rng: np.random.Generator, *, num_frames: int, num_symbols: int
) -> NDArray[np.float64]:
    """Return (T, V) natural logs: noise, or few different values, and now and then zeros."""
    match rng.choice(["noise", "few values", "uniform"], p=[0.7, 0.2, 0.1]):
        case "noise":
            frames = rng.choice([0.3, 1.0, 4.0]) * rng.standard_normal((num_frames, num_symbols))
        case "few values":
            frames = np.log(rng.choice([0.25, 0.5, 1.0], size=(num_frames, num_symbols)))
        case _:
            frames = np.zeros((num_frames, num_symbols))
    if rng.random() < 0.3:
        is_zero = rng.random(frames.shape) < 0.3
        is_zero[np.arange(num_frames), rng.integers(0, num_symbols, num_frames)] = False
        frames[is_zero] = -np.inf
    normalised: NDArray[np.float64] = frames - np.logaddexp.reduce(frames, axis=1, keepdims=True)
    return normalised


def _some(rng: np.random.Generator, items: Sequence[str]) -> list[str]:
    """Return some of the items, one at least."""
    return [item for item in items if rng.random() < 0.7] or [items[0]]
