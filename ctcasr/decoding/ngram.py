"""Back-off n-gram language models, as a deterministic automaton in flat arrays.

An n-gram model lists some n-grams with a probability and a back-off weight. The probability of a
word is that of the longest listed n-gram that ends in it; each word of history that must be given
up for that costs a back-off weight:

    p(w | h) = p(h w)                       where h w is listed
             = backoff(h) p(w | h without its first word)   otherwise

A state is a history, as long as it can matter. What follows a word is found by one search among
the arcs of the state, and as many more as words of history are given up. The state after a word
is stored, so a search holds one integer per hypothesis and never looks at words again.

All logs are natural. An n-gram costs 12 bytes, a history 16 more; a million n-grams are built in a
few seconds. NumPy only; no torch.

Sources: Katz 1987, "Estimation of probabilities from sparse data", for the back-off form; Allauzen,
Mohri and Roark 2003, "Generalized algorithms for constructing statistical language models", for
the automaton; the failure links are those of Aho and Corasick 1975.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BEGIN = "<s>"
END = "</s>"
UNKNOWN = "<unk>"
SPACE = "<space>"
"""How a label model names the label " ": words of an n-gram hold no white space."""

_UNKNOWN_NAMES = (UNKNOWN, "<UNK>")


def label_token(label: str) -> str:
    """Return what a label model calls a label."""
    return SPACE if label == " " else label


class NgramTableError(ValueError):
    """An n-gram that no model can hold.

    Attributes:
        order: how many words it has; `row` is its place in the table of that order.
        first: where the same n-gram stands before, if it is given twice; its history is missing
            otherwise.
    """

    def __init__(self, ngram: Sequence[str], *, row: int, first: int | None = None) -> None:
        self.order = len(ngram)
        self.row = row
        self.first = first
        shown = " ".join(ngram)
        history = " ".join(ngram[:-1])
        super().__init__(
            f"the {self.order}-gram {shown!r} has no {self.order - 1}-gram {history!r} to follow"
            if first is None
            else f"the {self.order}-gram {shown!r} is given twice"
        )


@dataclass(frozen=True, slots=True, eq=False)
class NgramTable:
    """The N n-grams of one order m.

    Attributes:
        ngrams: (N, m) word ids.
        log_prob: (N,) natural logs.
        backoff: (N,) natural logs; 0 where an n-gram has none.
    """

    ngrams: NDArray[np.int32]
    log_prob: NDArray[np.float32]
    backoff: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SentenceScore:
    """What a model says about a sentence.

    Attributes:
        log_prob: the natural log of its probability, `</s>` included where it was asked for.
        num_words: how many words it has, `</s>` not counted.
        num_unknown: how many of them the model does not know.
        unknown_log_prob: their part of `log_prob`; -inf where the model has no `<unk>`.
        known_log_prob: the rest of it.
    """

    log_prob: float
    num_words: int
    num_unknown: int
    unknown_log_prob: float
    known_log_prob: float


@dataclass(frozen=True, slots=True, eq=False)
class NgramModel:
    """A back-off n-gram model of W words, S states and A arcs.

    State s has the arcs first_arc[s] to first_arc[s + 1], sorted by word. Where a word has no arc,
    backoff[s] is added and the search goes on in backoff_state[s]. State 0 is the empty history:
    its arc i is that of word i, and its own back-off is 0 and never followed. States are numbered
    by length, then in the order of the arcs that make them.

    Attributes:
        order: the most words that an n-gram has.
        words: W words, id = index, `<unk>`, `<s>` and `</s>` among them where the model has them.
        first_arc: (S + 1,).
        arc_word: (A,) word ids.
        arc_log_prob: (A,) natural logs.
        arc_state: (A,) the state after the word: the longest history that is a state.
        backoff: (S,) natural logs.
        backoff_state: (S,) the longest history that is shorter and a state.
        start: the state after `<s>`; 0 where the model has none.
        begin: id of `<s>`, or -1; end: of `</s>`; unknown: of `<unk>` (or `<UNK>`).
        name: what messages call it; its file, where it was read from one.
    """

    order: int
    words: tuple[str, ...]
    first_arc: NDArray[np.int64]
    arc_word: NDArray[np.int32]
    arc_log_prob: NDArray[np.float32]
    arc_state: NDArray[np.int32]
    backoff: NDArray[np.float32]
    backoff_state: NDArray[np.int32]
    start: int
    begin: int
    end: int
    unknown: int
    name: str = "language model"
    _ids: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ids", {word: number for number, word in enumerate(self.words)})

    @classmethod
    def from_ngrams(
        cls, order: int, ngrams: Mapping[tuple[str, ...], tuple[float, float]]
    ) -> "NgramModel":
        """Return the model of n-grams with their natural log-probability and back-off.

        Every word must be there as a 1-gram, every longer n-gram's history as an n-gram.

        Raises:
            NgramTableError: an n-gram whose history is missing.
            ValueError: no 1-grams, an n-gram with more words than `order`, or a word without
                1-gram.
        """
        words = tuple(ngram[0] for ngram in ngrams if len(ngram) == 1)
        ids = {word: number for number, word in enumerate(words)}
        by_order: list[list[tuple[str, ...]]] = [[] for _ in range(order)]
        for ngram in ngrams:
            if not 1 <= len(ngram) <= order:
                raise ValueError(f"{ngram} has {len(ngram)} words; give 1 to {order}")
            missing = [word for word in ngram if word not in ids]
            if missing:
                raise ValueError(f"{ngram} holds {missing[0]!r}, which has no 1-gram; add one")
            by_order[len(ngram) - 1].append(ngram)
        tables = []
        for size, listed in enumerate(by_order, start=1):
            weights = np.array([ngrams[ngram] for ngram in listed], dtype=np.float32).reshape(-1, 2)
            rows = [[ids[word] for word in ngram] for ngram in listed]
            numbers = np.array(rows, dtype=np.int32).reshape(-1, size)
            tables.append(NgramTable(numbers, weights[:, 0], weights[:, 1]))
        return cls.from_tables(words, tables)

    @classmethod
    def from_tables(
        cls, words: Sequence[str], tables: Sequence[NgramTable], *, name: str = "language model"
    ) -> "NgramModel":
        """Return the model of tables[0] of 1-grams, one for each word, tables[1] of 2-grams, ...

        The back-off of the longest n-grams is not looked at: nothing follows them.

        Raises:
            NgramTableError: an n-gram that is given twice, or whose history is missing.
            ValueError: there are no words, or the 1-grams are not one for each.
        """
        if not words or not tables or len(tables[0].ngrams) < len(words):
            raise ValueError(f"{len(words)} words; give at least one, and a 1-gram for each")
        tables, histories = _sort(words, tables)
        states = _number_states(tables, histories)
        arc_from = np.concatenate(
            [np.zeros(len(words), dtype=np.int64)]
            + [states[m][history] for m, history in enumerate(histories[1:])]
        )
        arc_word = np.concatenate([table.ngrams[:, -1] for table in tables])
        num_states = 1 + sum(int((numbers >= 0).sum()) for numbers in states)
        arc_state, backoff_state = _targets(arc_from, arc_word, states, num_states, len(words))
        kept = [table.backoff[numbers >= 0] for table, numbers in zip(tables, states, strict=True)]
        ids = {word: number for number, word in enumerate(words)}
        begin = ids.get(BEGIN, -1)
        return cls(
            order=len(tables),
            words=tuple(words),
            first_arc=np.searchsorted(arc_from, np.arange(num_states + 1)).astype(np.int64),
            arc_word=arc_word.astype(np.int32),
            arc_log_prob=np.concatenate([table.log_prob for table in tables]).astype(np.float32),
            arc_state=arc_state.astype(np.int32),
            backoff=np.concatenate([[0.0], *kept]).astype(np.float32),
            backoff_state=backoff_state.astype(np.int32),
            start=int(arc_state[begin]) if begin >= 0 else 0,
            begin=begin,
            end=ids.get(END, -1),
            unknown=next((ids[mark] for mark in _UNKNOWN_NAMES if mark in ids), -1),
            name=name,
        )

    def tables(self) -> list[NgramTable]:
        """Return the n-grams of each order, sorted by their word ids; undoes `from_tables`."""
        # A state of length m is made by the first arc that leads to it, from one of length m - 1.
        made, making_arc = np.unique(self.arc_state, return_index=True)
        making_arc = making_arc[made > 0]
        first_of_length, num_arcs = 0, len(self.words)
        first_state, num_states = 0, 1
        histories = np.zeros((1, 0), dtype=np.int32)
        tables = []
        for _ in range(self.order):
            arcs = slice(first_of_length, first_of_length + num_arcs)
            fan_out = np.diff(self.first_arc[first_state : first_state + num_states + 1])
            ngrams = np.column_stack([np.repeat(histories, fan_out, axis=0), self.arc_word[arcs]])
            first_state += num_states
            makers = making_arc[(making_arc >= arcs.start) & (making_arc < arcs.stop)] - arcs.start
            num_states = len(makers)
            backoff = np.zeros(len(ngrams), dtype=np.float32)
            backoff[makers] = self.backoff[first_state : first_state + num_states]
            tables.append(NgramTable(ngrams, self.arc_log_prob[arcs], backoff))
            histories = ngrams[makers]
            first_of_length = arcs.stop
            stop = self.first_arc[first_state + num_states]
            num_arcs = int(stop) - first_of_length
        return tables

    def known_words(self) -> tuple[str, ...]:
        """Return the words without `<unk>`, `<s>` and `</s>`."""
        marks = (self.unknown, self.begin, self.end)
        return tuple(word for number, word in enumerate(self.words) if number not in marks)

    def word_id(self, word: str) -> int:
        """Return the id of a word: `unknown`, which may be -1, where it is not known."""
        return self._ids.get(word, self.unknown)

    def step(self, state: int, word: int) -> tuple[int, float]:
        """Return the state after a word, and the natural log of the word's probability.

        A word of -1, unknown to a model without `<unk>`, has probability zero and leaves no
        history.
        """
        if word < 0:
            return 0, -float("inf")
        log_prob = 0.0
        arc = word  # in state 0
        while state:
            stop = int(self.first_arc[state + 1])
            found = bisect_left(self.arc_word, word, int(self.first_arc[state]), stop)
            if found < stop and self.arc_word[found] == word:
                arc = found
                break
            log_prob += float(self.backoff[state])
            state = int(self.backoff_state[state])
        return int(self.arc_state[arc]), log_prob + float(self.arc_log_prob[arc])

    def log_prob(
        self, words: Sequence[str], *, begin: bool = True, end: bool = True
    ) -> SentenceScore:
        """Return the log-probability of a sentence.

        Args:
            words: without `<s>` and `</s>`.
            begin: whether the words follow `<s>`.
            end: whether `</s>` follows the words; a model without it gives it nothing.
        """
        state = self.start if begin else 0
        known, unknown, num_unknown = 0.0, 0.0, 0
        for word in words:
            number = self.word_id(word)
            state, log_prob = self.step(state, number)
            if number == self.unknown:
                unknown += log_prob
                num_unknown += 1
            else:
                known += log_prob
        if end and self.end >= 0:
            known += self.step(state, self.end)[1]
        return SentenceScore(
            log_prob=known + unknown,
            num_words=len(words),
            num_unknown=num_unknown,
            unknown_log_prob=unknown,
            known_log_prob=known,
        )


def _sort(
    words: Sequence[str], tables: Sequence[NgramTable]
) -> tuple[list[NgramTable], list[NDArray[np.int64]]]:
    """Return the tables sorted by word ids, and the row of each n-gram's history one order below.

    An n-gram's key is its history's row and its last word, so the keys of a table sort as its
    n-grams do.
    """
    sorted_tables: list[NgramTable] = []
    histories: list[NDArray[np.int64]] = []
    keys: list[NDArray[np.int64]] = []
    for table in tables:
        columns = table.ngrams.astype(np.int64).T
        row = np.zeros(len(table.ngrams), dtype=np.int64)
        for lower, column in zip(keys, columns[:-1], strict=True):
            row = _find(lower, row * len(words) + column)
        if (row < 0).any():
            orphan = int((row < 0).argmax())
            raise NgramTableError([words[i] for i in table.ngrams[orphan]], row=orphan)
        key = row * len(words) + columns[-1]
        order = np.argsort(key, kind="stable")
        key = key[order]
        again = np.flatnonzero(key[1:] == key[:-1])
        if len(again):
            at = again[order[again + 1].argmin()]  # the first in the table
            ngram = [words[i] for i in table.ngrams[order[at]]]
            raise NgramTableError(ngram, row=int(order[at + 1]), first=int(order[at]))
        sorted_tables.append(
            NgramTable(table.ngrams[order], table.log_prob[order], table.backoff[order])
        )
        histories.append(row[order])
        keys.append(key)
    return sorted_tables, histories


def _find(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each wanted key stands among sorted ones, or -1."""
    if not len(keys):
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, -1)


def _number_states(
    tables: Sequence[NgramTable], histories: Sequence[NDArray[np.int64]]
) -> list[NDArray[np.int64]]:
    """Return the state of each n-gram of each table, or -1 where its last words do as well.

    An n-gram is a state where another one continues it, or where leaving it costs something.
    """
    states: list[NDArray[np.int64]] = []
    next_state = 1
    for m, table in enumerate(tables):
        matters = np.zeros(len(table.ngrams), dtype=bool)
        if m + 1 < len(tables):
            matters = table.backoff != 0
            matters[histories[m + 1]] = True
        states.append(np.where(matters, next_state + np.cumsum(matters) - 1, -1))
        next_state += int(matters.sum())
    return states


def _targets(
    arc_from: NDArray[np.int64],
    arc_word: NDArray[np.int32],
    states: Sequence[NDArray[np.int64]],
    num_states: int,
    num_words: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the state after each arc, and the state that each state backs off to.

    The longest history that ends an n-gram h w, itself left out, is where w leads from the longest
    one that ends h. So the arcs are settled order by order, each by a walk along the back-offs.
    """
    arc_key = arc_from * num_words + arc_word
    arc_state = np.zeros(len(arc_key), dtype=np.int64)
    backoff_state = np.zeros(num_states, dtype=np.int64)
    begin = 0
    for m, own in enumerate(states):
        arcs = slice(begin, begin + len(own))
        begin = arcs.stop
        shorter = np.zeros(len(own), dtype=np.int64)
        todo = np.arange(len(own)) if m else np.zeros(0, dtype=np.int64)
        state = backoff_state[arc_from[arcs]][todo]
        while len(todo):
            found = _find(arc_key[:begin], state * num_words + arc_word[arcs][todo])
            shorter[todo[found >= 0]] = arc_state[found[found >= 0]]
            todo, state = todo[found < 0], backoff_state[state[found < 0]]
        arc_state[arcs] = np.where(own >= 0, own, shorter)
        backoff_state[own[own >= 0]] = shorter[own >= 0]
    return arc_state, backoff_state
