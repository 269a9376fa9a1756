"""Estimating n-gram models from text: interpolated modified Kneser-Ney smoothing.

A discount is taken from every count, and what that frees in a history h goes to the words in
proportion to what they get without the first word of h:

    p(w | h) = (c(h w) - D(c(h w))) / c(h .) + weight(h) p(w | h without its first word)

    c(h w)      for the longest n-grams, and those that begin with <s>: how often h w was seen;
                for all others: how many different words were seen before h w
    D(c)        D1, D2 or D3+, made from the counts of counts of each order (equation 26)
    weight(h)   what makes the probabilities after h sum to 1; it is the back-off of h

The sum of a history runs over all words but <s>, </s> and <unk> among them; the 1-grams fall back
on equal shares, and that share is all <unk> gets, unless a limited vocabulary leaves words to it.
N-grams may be left out that were seen too seldom: they have no probability of their own, and
all they had goes to the weight, so the sums stay 1. Discounts come from what was seen before.

Counting sorts the text once per order: O(N log N) time for N words, some 40 bytes for each.
NumPy only; no torch.

Sources: Chen and Goodman 1998, TR-10-98, "An empirical study of smoothing techniques for language
modeling", section 3; Kneser and Ney 1995; Heafield et al. 2013, "Scalable modified Kneser-Ney
language model estimation", for <s> and for pruning.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctcasr.decoding.ngram import BEGIN, END, UNKNOWN, NgramModel, NgramTable
from ctcasr.errors import LanguageModelError

_UNKNOWN, _BEGIN, _END = range(3)  # ids
_PROB_OF_BEGIN = 1e-99  # no history predicts <s>; ARPA files say -99
_FALLBACK = (0.5, 1.0, 1.5)


@dataclass(frozen=True, slots=True)
class Discounts:
    """What is taken from the counts of one order.

    Attributes:
        amounts: from a count of 1, of 2, and of 3 or more.
        estimated: whether they come from the text; where its counts of counts give no amounts
            between 0 and the count itself (a small text, or few kinds of words, as letters are),
            they are .5, 1 and 1.5.
    """

    amounts: tuple[float, float, float]
    estimated: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated model, and how it came about.

    Attributes:
        model: it has `<unk>`, `<s>` and `</s>`; its order is lower than asked for where no sentence
            is long enough, or where pruning leaves nothing of the highest.
        num_ngrams: of each order.
        discounts: of each order.
        num_sentences: in the text; num_words: without `</s>`; num_unknown: those among them that
            the vocabulary leaves out.
    """

    model: NgramModel
    num_ngrams: tuple[int, ...]
    discounts: tuple[Discounts, ...]
    num_sentences: int
    num_words: int
    num_unknown: int


@dataclass(frozen=True, slots=True)
class _Counts:
    """The G different n-grams of one order in the text, sorted by word ids.

    Attributes:
        ngrams: (G, m) word ids.
        history: (G,) which n-gram of one order below is all but its last word;
        suffix: (G,) which is all but its first.
        seen: (G,) how often it stands in the text.
    """

    ngrams: NDArray[np.int32]
    history: NDArray[np.int64]
    suffix: NDArray[np.int64]
    seen: NDArray[np.int64]


def estimate_ngrams(
    sentences: Iterable[Sequence[str]],
    *,
    order: int,
    prune: Sequence[int] = (),
    vocabulary: int | None = None,
) -> Estimate:
    """Return the interpolated modified Kneser-Ney model of a text, in back-off form.

    Args:
        sentences: words (or labels) of each, without `<s>` and `</s>`; `<unk>` is an unknown word.
        order: the most words of an n-gram, at least 1.
        prune: for 1-grams, 2-grams, ...: n-grams seen as often as that or less are left out; the
            last one counts for all that follow. The first must be 0: `vocabulary` limits words.
        vocabulary: keep that many of the most frequent words, the first in the alphabet among
            equals; the others become `<unk>`. None keeps all.

    Raises:
        LanguageModelError: a text without words or with `<s>` or `</s>` in it, or settings that
            cannot be.
    """
    thresholds = _thresholds(prune, order)
    if vocabulary is not None and vocabulary < 1:
        raise LanguageModelError(f"a vocabulary of {vocabulary} words; give at least 1")
    sentences = [list(sentence) for sentence in sentences]
    words = choose_words(sentences, vocabulary)
    ids = {word: number for number, word in enumerate(words)}
    tokens = _tokens(sentences, ids)
    longest = max(len(sentence) for sentence in sentences) + 2
    levels = _count(tokens, order=min(order, longest), num_words=len(words))
    tables, discounts = _smooth(levels, thresholds)
    return Estimate(
        model=NgramModel.from_tables(words, tables),
        num_ngrams=tuple(len(table.ngrams) for table in tables),
        discounts=tuple(discounts),
        num_sentences=len(sentences),
        num_words=len(tokens) - 2 * len(sentences),
        num_unknown=int((tokens == _UNKNOWN).sum()),
    )


def _thresholds(prune: Sequence[int], order: int) -> list[int]:
    if order < 1:
        raise LanguageModelError(f"an n-gram order of {order}; give at least 1")
    shown = ",".join(map(str, prune))
    if len(prune) > order:
        raise LanguageModelError(
            f"pruning {shown} is for {len(prune)} orders of {order}; give less"
        )
    if list(prune) != sorted(prune) or any(threshold < 0 for threshold in prune[:1]):
        raise LanguageModelError(
            f"pruning {shown}: an n-gram must not stay where its history goes; give numbers from 0 "
            f"that do not fall, as in 0,0,1"
        )
    if prune and prune[0] > 0:
        raise LanguageModelError(
            f"pruning {shown}: the first number is for single words; give 0 there, and limit the "
            f"vocabulary instead"
        )
    return [*prune, *[prune[-1] if prune else 0] * (order - len(prune))]


def choose_words(sentences: Sequence[Sequence[str]], limit: int | None) -> tuple[str, ...]:
    """Return the words of a model: the three marks, then the most frequent words, sorted.

    Args:
        sentences: words of each.
        limit: how many are kept, the first in the alphabet among equals; None keeps all.

    Raises:
        LanguageModelError: there are none, one holds white space, or is `<s>` or `</s>`.
    """
    counts = Counter(word for sentence in sentences for word in sentence)
    for mark in (BEGIN, END):
        if mark in counts:
            number = next(i for i, words in enumerate(sentences, start=1) if mark in words)
            raise LanguageModelError(
                f"sentence {number} of the text holds {mark}, which the model adds by itself; "
                f"remove it"
            )
    del counts[UNKNOWN]
    if not counts:
        raise LanguageModelError("the text has no words, so there is nothing to learn from it")
    unfit = next((word for word in counts if not word or word.split() != [word]), None)
    if unfit is not None:
        raise LanguageModelError(
            f"the text has the word {unfit!r}, but a word holds no white space; write it in "
            f"another way, as in <space>"
        )
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return (UNKNOWN, BEGIN, END, *sorted(ranked[:limit]))


def _tokens(sentences: Sequence[Sequence[str]], ids: dict[str, int]) -> NDArray[np.int64]:
    """Return the whole text as word ids, each sentence between <s> and </s>."""
    tokens: list[int] = []
    for sentence in sentences:
        tokens.append(_BEGIN)
        tokens += [ids.get(word, _UNKNOWN) for word in sentence]
        tokens.append(_END)
    return np.array(tokens, dtype=np.int64)


def _count(tokens: NDArray[np.int64], *, order: int, num_words: int) -> list[_Counts]:
    """Return the n-grams of each order; those of order 1 are all words, seen or not."""
    nothing = np.zeros(num_words, dtype=np.int64)
    ngrams = np.arange(num_words, dtype=np.int32)[:, None]
    levels = [_Counts(ngrams, nothing, nothing, np.bincount(tokens, minlength=num_words))]
    starts = np.arange(len(tokens))
    ngram_at = tokens  # which n-gram begins at each place of the text
    for m in range(2, order + 1):
        starts = starts[starts + m <= len(tokens)]
        last = tokens[starts + m - 1]
        starts, last = starts[last != _BEGIN], last[last != _BEGIN]  # inside one sentence
        key = ngram_at[starts] * num_words + last
        different, first, which, seen = np.unique(
            key, return_index=True, return_inverse=True, return_counts=True
        )
        history = different // num_words
        last_word = (different % num_words).astype(np.int32)
        levels.append(
            _Counts(
                ngrams=np.column_stack([levels[-1].ngrams[history], last_word]),
                history=history,
                suffix=ngram_at[starts[first] + 1],
                seen=seen,
            )
        )
        ngram_at = np.full(len(tokens), -1)
        ngram_at[starts] = which
    return levels


def _smooth(
    levels: Sequence[_Counts], thresholds: Sequence[int]
) -> tuple[list[NgramTable], list[Discounts]]:
    """Return the tables of the model in back-off form, pruned, and the discounts of each order."""
    num_words = len(levels[0].ngrams)
    shorter = np.full(num_words, 1.0 / (num_words - 1))  # p with one word of history less
    num_histories = 1
    weights: list[NDArray[np.float64]] = []
    smoothed = []
    discounts = []
    for m, level in enumerate(levels):
        counts = _kneser_ney_counts(level, levels[m + 1] if m + 1 < len(levels) else None)
        discounts.append(_estimate_discounts(counts))
        keep = level.seen > thresholds[m] if m else np.ones(num_words, dtype=bool)
        taken = np.array([0.0, *discounts[m].amounts])[np.minimum(counts, 3)]
        freed = np.where(keep, taken, counts)
        total = np.bincount(level.history, counts, minlength=num_histories)
        spare = np.bincount(level.history, freed, minlength=num_histories)
        weight = np.divide(spare, total, out=np.ones(num_histories), where=total > 0)
        own = (counts - freed) / total[level.history]
        prob = own + weight[level.history] * (shorter[level.suffix] if m else shorter)
        weights.append(weight)
        smoothed.append((level.ngrams, prob, keep))
        shorter, num_histories = prob, len(counts)
    weights.append(np.ones(num_histories))  # nothing follows the longest n-grams
    smoothed[0][1][_BEGIN] = _PROB_OF_BEGIN
    tables = [
        NgramTable(
            ngrams[keep],
            np.log(np.minimum(prob[keep], 1.0)).astype(np.float32),
            np.log(weight[keep]).astype(np.float32),
        )
        for (ngrams, prob, keep), weight in zip(smoothed, weights[1:], strict=True)
    ]
    while not len(tables[-1].ngrams):  # all pruned
        tables.pop()
    return tables, discounts[: len(tables)]


def _kneser_ney_counts(level: _Counts, longer: _Counts | None) -> NDArray[np.int64]:
    """Return c of the header: of how many words before it an n-gram can tell, or how often it is.

    <s> itself is never predicted, so it counts as not seen.
    """
    counts = level.seen
    if longer is not None:
        preceded = np.bincount(longer.suffix, minlength=len(level.ngrams))
        counts = np.where(level.ngrams[:, 0] == _BEGIN, level.seen, preceded)
    if level.ngrams.shape[1] == 1:
        counts = np.where(level.ngrams[:, 0] == _BEGIN, 0, counts)
    return counts


def _estimate_discounts(counts: NDArray[np.int64]) -> Discounts:
    """Return D1, D2 and D3+ by equation 26 of Chen and Goodman, or those of small texts."""
    n1, n2, n3, n4 = (int((counts == count).sum()) for count in (1, 2, 3, 4))
    if not (n1 and n2 and n3):
        return Discounts(_FALLBACK, estimated=False)
    share = n1 / (n1 + 2 * n2)
    amounts = (1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3)
    if not all(amount > 0 for amount in amounts):
        return Discounts(_FALLBACK, estimated=False)
    return Discounts(amounts, estimated=True)
