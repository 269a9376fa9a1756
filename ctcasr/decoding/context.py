"""Context: how much a prefix is worth beyond its CTC mass.

Language model, lexicon and hotwords together say, for every label that a prefix is extended by,
how many nats that is worth. The sum of these increments depends on the prefix alone, so the search
asks once per prefix and keeps the answer.

While a word is being written it carries a provisional charge: that of the best word it may still
become (the look-ahead of the lexicon), or that of an unknown word once it has left the lexicon.
When the word is complete, the charge is replaced by what the language model says. So a text's
total is always

    sum over words of (alpha * ln p(word | history) + beta)  +  alpha * ln p(</s> | history)
    + `unknown` for every word outside lexicon or model  +  the boosts of the hotwords in it
    + alpha * ln q(label) for every label of a word outside the lexicon

with alpha = 1 in the last line where there is no language model, and q how frequent a label is in
the words of the lexicon. A model that knows a word only as <unk> leaves open which one it is, and
without the cost of spelling it, one long unknown word would be cheaper than the three known ones
that were said. To a model without <unk>, an unknown word is as improbable as its rarest word, and
nothing is known of what follows.

This file is the definition; csrc/context.hpp is the same in C++.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ctcasr.alphabet import Alphabet, Unit
from ctcasr.decoding.hotwords import HotwordAutomaton, build_hotwords
from ctcasr.decoding.label_kinds import BOUNDARY, LabelKind, label_kinds, label_symbols
from ctcasr.decoding.lexicon import (
    NO_WORD,
    OUTSIDE,
    ROOT,
    LexiconTrie,
    build_trie,
    read_lexicon,
    spell,
)
from ctcasr.decoding.ngram import SPACE, NgramModel, label_token
from ctcasr.errors import LanguageModelError

_LARGEST_CHARGE = 100.0
"""Nats of a provisional charge: more would decide nothing, and could not be given back by exp."""

_LARGEST_BETA = 100.0

_ROUNDING = 1e-9
"""Nats by which a bound is set higher, as sums in another order may come out larger."""


class LmUnit(StrEnum):
    """What a language model counts."""

    WORD = "word"
    LABEL = "label"


class State(NamedTuple):
    """What a prefix's future worth depends on.

    Attributes:
        history: state of the language model.
        spelt: node of the lexicon that the word being written has reached; ROOT between words,
            OUTSIDE for a word that is in no lexicon.
        matched: node of the hotword automaton.
    """

    history: int
    spelt: int
    matched: int


class PrefixContext(Protocol):
    """What a search asks of that which weighs prefixes: `Context`, or a recurrent model's."""

    @property
    def unwritten(self) -> tuple[str, ...]:
        """Words, or labels, of the language model that can never be found."""

    def start(self) -> Any:
        """Return the state of the empty prefix."""

    def prepare(self, states: Sequence[Any]) -> None:
        """Get ready to be asked about these states; a recurrent model reads them together."""

    def extend(self, state: Any, label: int) -> tuple[Any, float]:
        """Return the state after one more label and the nats it is worth; -inf forbids it."""

    def finish(self, state: Any) -> float:
        """Return what the end of the text is worth after a prefix; -inf if it may not end there."""

    def gain(self, state: Any) -> float:
        """Return the most that one more label can be worth; the search need not ask for less."""


def _nothing() -> NDArray[np.float64]:
    return np.zeros(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The rules of one decoder; arrays only, so that the C++ search reads the same.

    Attributes:
        kinds: (V,) what each label does to words.
        lm: the language model, if any.
        lm_unit: what it counts.
        alpha: weight of its log-probabilities.
        beta: nats for every word (every label, for a label model).
        unknown: nats for every word outside lexicon or model; at most 0. Where the model has no
            <unk>, with what its rarest word is worth.
        lexicon: the words that may be spelt, if words are followed at all.
        is_closed: whether nothing outside the lexicon may be said.
        lm_words: the model's id of each word of the lexicon; of each label for a label model and
            where labels are words; -1 where it has none.
        charges: (N,) the provisional charge of each node of the lexicon.
        outside_charge: that of a word outside.
        label_costs: (V,) nats for each label of a word outside; at most 0.
        spelt_costs: (N,) nats for all labels of such a word that lead to each node.
        most_said: the most that a word, or label, is worth to model and beta; at least 0.
        hotwords: the automaton, if any.
        unwritten: the model's words, or labels, that the alphabet's labels cannot write, so that
            they are never found; none where a lexicon chooses the words.
    """

    kinds: NDArray[np.uint8]
    lm: NgramModel | None = None
    lm_unit: LmUnit = LmUnit.WORD
    alpha: float = 0.0
    beta: float = 0.0
    unknown: float = 0.0
    lexicon: LexiconTrie | None = None
    is_closed: bool = False
    lm_words: NDArray[np.int32]
    charges: NDArray[np.float64] = field(default_factory=_nothing)
    outside_charge: float = 0.0
    label_costs: NDArray[np.float64] = field(default_factory=_nothing)
    spelt_costs: NDArray[np.float64] = field(default_factory=_nothing)
    most_said: float = 0.0
    hotwords: HotwordAutomaton | None = None
    unwritten: tuple[str, ...] = ()

    def start(self) -> State:
        """Return the state of the empty prefix."""
        matched = self.hotwords.step(0, BOUNDARY)[0] if self.hotwords else 0
        return State(self.lm.start if self.lm else 0, ROOT, matched)

    def prepare(self, states: Sequence[State]) -> None:
        """Do nothing: an automaton has all answers at hand."""

    def extend(self, state: State, label: int) -> tuple[State, float]:
        """Return the state after one more label and the nats it is worth; -inf forbids it."""
        history, spelt, matched = state
        worth = 0.0
        if self.lm is not None and self.lm_unit is LmUnit.LABEL:
            history, worth = self._say(history, int(self.lm_words[label]))
        elif self.lexicon is not None:
            history, spelt, worth = self._spell(history, spelt, label)
        elif self.lm is not None:  # every label is a word
            history, worth = self._say(history, int(self.lm_words[label]))
        if self.hotwords is not None:
            for symbol in label_symbols(label, int(self.kinds[label])):
                matched, earned = self.hotwords.step(matched, symbol)
                worth += earned
        return State(history, spelt, matched), worth

    def finish(self, state: State) -> float:
        """Return what the end of the text is worth after a prefix; -inf if it may not end there."""
        worth = 0.0
        history = state.history
        if state.spelt != ROOT:
            history, worth = self._complete(history, state.spelt)
        if self.lm is not None and self.lm.end >= 0:
            worth += self.alpha * self.lm.step(history, self.lm.end)[1]
        if self.hotwords is not None:
            matched, earned = self.hotwords.step(state.matched, BOUNDARY)
            worth += earned - float(self.hotwords.credit[matched])
        return worth

    def gain(self, state: State) -> float:
        """Return the most that one more label can be worth; the search need not ask for less."""
        most = self.most_said
        if self.lexicon is not None:
            most -= self._charge(state.spelt)
        if self.hotwords is not None:
            hotwords = self.hotwords
            most += float(hotwords.reach[state.matched] - hotwords.credit[state.matched])
        return most + _ROUNDING

    def _spell(self, history: int, spelt: int, label: int) -> tuple[int, int, float]:
        """Follow the word being written by one label."""
        assert self.lexicon is not None
        worth = 0.0
        kind = self.kinds[label]
        if kind != LabelKind.INSIDE and spelt != ROOT:
            history, worth = self._complete(history, spelt)
            spelt = ROOT
        if kind == LabelKind.SPACE:
            return history, spelt, worth
        after = self.lexicon.child(spelt, label) if spelt != OUTSIDE else OUTSIDE
        if after == OUTSIDE and self.is_closed:
            return history, after, -np.inf
        if after == OUTSIDE:
            worth += float(self.label_costs[label]) + self._spelt_cost(spelt)
        return history, after, worth + self._charge(after) - self._charge(spelt)

    def _complete(self, history: int, spelt: int) -> tuple[int, float]:
        """End the word being written: what the model says of it, in place of the charge."""
        assert self.lexicon is not None
        word = int(self.lexicon.word[spelt]) if spelt != OUTSIDE else NO_WORD
        if word == NO_WORD and self.is_closed:
            return history, -np.inf
        known = int(self.lm_words[word]) if word != NO_WORD and self.lm else word
        history, worth = self._say(history, known)
        if word == NO_WORD:
            worth += self._spelt_cost(spelt)
        return history, worth - self._charge(spelt)

    def _say(self, history: int, word: int) -> tuple[int, float]:
        """Return the history after a word, or label, and what it is worth."""
        worth = self.beta
        if word < 0:
            worth += self.unknown
        if self.lm is None:
            return history, worth
        if word < 0:
            word = self.lm.unknown
        if word < 0:  # a model without <unk> says nothing and forgets
            return 0, worth
        history, log_prob = self.lm.step(history, word)
        return history, worth + self.alpha * log_prob

    def _charge(self, spelt: int) -> float:
        return self.outside_charge if spelt == OUTSIDE else float(self.charges[spelt])

    def _spelt_cost(self, spelt: int) -> float:
        """Return the cost of spelling a word so far that turns out to be outside the lexicon."""
        return 0.0 if spelt == OUTSIDE else float(self.spelt_costs[spelt])


def make_context(
    alphabet: Alphabet,
    *,
    lm: NgramModel | None = None,
    lm_unit: LmUnit = LmUnit.WORD,
    lexicon: str | Path | Iterable[str] | None = None,
    is_open: bool | None = None,
    hotwords: Mapping[str, float] | None = None,
    alpha: float = 0.5,
    beta: float = 0.0,
    unknown: float = 0.0,
) -> Context | None:
    """Return the context that a decoder's settings mean; None where there is nothing to weigh.

    Args:
        alphabet: of the labels.
        lm: a language model.
        lm_unit: whether it counts words or labels.
        lexicon: a file or words; see `read_lexicon`. Where words are spelt and none is given, the
            words of the language model are the lexicon.
        is_open: whether words outside the lexicon may be spelt out; by default they may not where
            `lexicon` is given.
        hotwords: words or phrases and their boosts in nats.
        alpha: weight of the language model's natural-log probabilities.
        beta: nats for every word, or label for a label model; without model and lexicon nobody
            counts words, and it has no effect.
        unknown: nats for every word outside lexicon or language model, beside what the formula at
            the head of this file has for it.

    Raises:
        LexiconError, HotwordError: a word cannot be spelt; see there.
        LanguageModelError: none of the model's words can be said, or it counts labels.
        ValueError: a weight is out of range, or the parts do not go together.
    """
    _check_weights(alpha=alpha, beta=beta, unknown=unknown)
    if lm is not None:
        _check_model(lm)
    automaton = build_hotwords(hotwords, alphabet) if hotwords else None
    if lm is None and lexicon is None and automaton is None:
        return None
    kinds = label_kinds(alphabet)
    if lm is not None and lm.unknown < 0:
        unknown += alpha * _rarest(lm)
    if lm is not None and (lm_unit is LmUnit.LABEL or alphabet.unit is Unit.WORD):
        if lexicon is not None:
            raise ValueError("a lexicon needs a language model of words and labels that spell them")
        tokens = [label_token(label) for label in alphabet.labels]
        ids = [-1 if k == alphabet.blank else _known(lm, token) for k, token in enumerate(tokens)]
        return Context(
            kinds=kinds,
            lm=lm,
            lm_unit=lm_unit,
            alpha=alpha,
            beta=beta,
            unknown=unknown,
            lm_words=np.array(ids, dtype=np.int32),
            most_said=_most_said(lm, alpha, beta),
            hotwords=automaton,
            unwritten=_unwritten(lm, {lm.words[known] for known in ids if known >= 0}),
        )
    if lm is None and lexicon is None:
        nothing = np.zeros(0, dtype=np.int32)
        return Context(kinds=kinds, lm_words=nothing, hotwords=automaton)
    spellings, unwritten = _spell_words(lm, lexicon, alphabet)
    trie = build_trie(spellings)
    lm_words = [-1 if lm is None else _known(lm, word) for word in trie.words]
    worths = np.array([_unigram(lm, word, alpha, unknown) for word in lm_words])
    charges = trie.best_below(worths) if lm is not None else np.zeros(len(trie.word))
    charges = np.maximum(charges, -_LARGEST_CHARGE)
    charges[ROOT] = 0.0
    label_costs = (1.0 if lm is None else alpha) * trie.label_log_shares(len(alphabet))
    return Context(
        kinds=kinds,
        lm=lm,
        alpha=alpha,
        beta=beta,
        unknown=unknown,
        lexicon=trie,
        is_closed=(lexicon is not None) if is_open is None else not is_open,
        lm_words=np.array(lm_words, dtype=np.int32),
        charges=charges,
        outside_charge=max(_unigram(lm, -1, alpha, unknown), -_LARGEST_CHARGE),
        label_costs=label_costs,
        spelt_costs=trie.sum_along(label_costs),
        most_said=_most_said(lm, alpha, beta),
        hotwords=automaton,
        unwritten=unwritten,
    )


def _check_weights(*, alpha: float, beta: float, unknown: float) -> None:
    if not 0.0 <= alpha < np.inf:
        raise ValueError(f"alpha is {alpha}; give a weight of 0 or more")
    if not -_LARGEST_BETA <= beta <= _LARGEST_BETA:
        raise ValueError(
            f"beta is {beta}; give nats per word, from -{_LARGEST_BETA:.0f} to "
            f"{_LARGEST_BETA:.0f}, as in 0.5"
        )
    if not -np.inf < unknown <= 0.0:
        raise ValueError(f"unknown is {unknown}; give nats per unknown word, at most 0, as in -10")


def _check_model(lm: NgramModel) -> None:
    """Refuse what no ARPA file holds, and no sum of logs survives."""
    if not (np.isfinite(lm.arc_log_prob).all() and np.isfinite(lm.backoff).all()):
        raise ValueError(
            "the language model holds a log-probability that is not finite; give finite ones, as "
            "ARPA files write -99 (base 10) for a probability of zero"
        )


def _known(lm: NgramModel, word: str) -> int:
    """Return the model's id of a word, -1 where it does not know it."""
    known = lm.word_id(word)
    return -1 if known in (lm.unknown, lm.begin, lm.end) else known


def _spell_words(
    lm: NgramModel | None, lexicon: str | Path | Iterable[str] | None, alphabet: Alphabet
) -> tuple[dict[str, list[tuple[int, ...]]], tuple[str, ...]]:
    """Return the words that are followed with their spellings, and `Context.unwritten`."""
    if lm is not None and lm.word_id(SPACE) != lm.unknown:
        raise LanguageModelError(
            f"{lm.name}: counts labels, since {SPACE} is one of its words; say so: "
            f"--set decode.lm_unit=label"
        )
    if lexicon is not None:
        given = read_lexicon(lexicon, alphabet)
        if lm is not None:
            _unwritten(lm, given, who="the lexicon has")
        return given, ()
    assert lm is not None
    own = {word: spell(alphabet, word) for word in lm.known_words()}
    spellings = {word: [labels] for word, labels in own.items() if labels is not None}
    return spellings, _unwritten(lm, spellings)


def _unwritten(
    lm: NgramModel, written: Container[str], *, who: str = "the recognizer's labels can write"
) -> tuple[str, ...]:
    """Return the words of a model that are not among those that can be written.

    Raises:
        LanguageModelError: none of them is, as where the model is in another case.
    """
    words = lm.known_words()
    unwritten = tuple(word for word in words if word not in written)
    if words and len(unwritten) == len(words):
        raise LanguageModelError(
            f"{lm.name}: {who} none of its {len(words):,} words, such as {words[0]!r}; make a "
            f"model of text in the recognizer's spelling and case"
        )
    return unwritten


def _unigram(lm: NgramModel | None, word: int, alpha: float, unknown: float) -> float:
    """Return what a word is worth without its history."""
    worth = unknown if word < 0 else 0.0
    if lm is None:
        return worth
    known = lm.unknown if word < 0 else word
    return worth + (alpha * lm.step(0, known)[1] if known >= 0 else 0.0)


def _rarest(lm: NgramModel) -> float:
    """Return the log-probability of the rarest word of a model, as far as that decides anything."""
    unigrams = slice(lm.first_arc[0], lm.first_arc[1])  # state 0 has an arc for every word
    is_word = ~np.isin(lm.arc_word[unigrams], [lm.begin, lm.end])
    rarest = float(lm.arc_log_prob[unigrams][is_word].min(initial=0.0))
    return max(rarest, -_LARGEST_CHARGE)


def _most_said(lm: NgramModel | None, alpha: float, beta: float) -> float:
    """Return the most that model and beta can give a word, and 0 where that is less.

    A probability is below 1, unless back-off weights do not fit the n-grams they belong to.
    """
    if lm is None:
        return max(0.0, beta)
    most = np.full(len(lm.backoff), -np.inf)
    state = np.repeat(np.arange(len(most)), np.diff(lm.first_arc))
    np.maximum.at(most, state, lm.arc_log_prob.astype(np.float64))
    for _ in range(lm.order):  # along the back-offs, a word of history at a time
        backed_off = lm.backoff[1:] + most[lm.backoff_state[1:]]
        most[1:] = np.maximum(most[1:], backed_off)
    return max(0.0, beta + alpha * max(0.0, float(most.max())))
