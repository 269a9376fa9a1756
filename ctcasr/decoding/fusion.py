"""Shallow fusion: a recurrent model of labels weighs every prefix while the beam grows.

A text's total is, as with an n-gram model of labels,

    sum over labels of (alpha * ln p(label | labels before) + beta)  +  alpha * ln p(</s> | labels)
    + `unknown` for every label that the model does not know

What the model remembers is a vector, not a number, so this context has no counterpart in C++ and
NumPy searches, which is slow. A prefix is read when the search first asks what may follow it; all
prefixes of a beam are read together, in one step of the network.

Source: Gulcehre et al. 2015, arXiv:1503.03535, section 4.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ctcasr.alphabet import Alphabet
from ctcasr.decoding.context import Context
from ctcasr.decoding.ngram import END, UNKNOWN, SentenceScore, label_token
from ctcasr.errors import LanguageModelError

_ROUNDING = 1e-9


class StepModel(Protocol):
    """A language model that is asked step by step; it knows `</s>` and `<unk>`."""

    name: str

    def known_words(self) -> tuple[str, ...]:
        """Return its tokens without the two marks."""

    def encode(self, sentence: Sequence[str]) -> list[int]:
        """Return the ids of tokens, that of `<unk>` for those that it does not know."""

    def step(
        self, memories: Sequence[Any], tokens: Sequence[int]
    ) -> tuple[list[Any], NDArray[np.float64]]:
        """Read a token after each memory (None: nothing yet); return memories and (K, V) logs."""

    def score(self, sentences: Sequence[Sequence[str]]) -> list[SentenceScore]:
        """Return what it says of whole sentences."""


class FusedState:
    """What a prefix's future worth depends on.

    Attributes:
        memory: of the model before `token`; after it, once it has been read.
        token: the id to be read.
        log_probs: (V,) natural logs of the next token; None before it has been read.
        other: state of the other context.
    """

    __slots__ = ("log_probs", "memory", "other", "token")

    def __init__(self, memory: Any, token: int, other: Any) -> None:
        self.memory = memory
        self.token = token
        self.log_probs: NDArray[np.float64] | None = None
        self.other = other


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionContext:
    """The rules of one decoder with a recurrent model; asked as `Context` is.

    Attributes:
        lm: the model.
        label_ids: the model's id of each label; end: of `</s>`; unknown_id: of `<unk>`.
        alpha: weight of its log-probabilities.
        beta: nats for every label.
        unknown: nats for every label that the model does not know; at most 0.
        others: hotwords, if any.
        unwritten: the model's tokens that are no labels, so that they are never found.
    """

    lm: StepModel
    label_ids: tuple[int, ...]
    end: int
    unknown_id: int
    alpha: float
    beta: float
    unknown: float
    others: Context | None
    unwritten: tuple[str, ...]

    def start(self) -> FusedState:
        """Return the state of the empty prefix."""
        return FusedState(None, self.end, self.others.start() if self.others else None)

    def prepare(self, states: Sequence[FusedState]) -> None:
        """Read all prefixes that have not been read yet, in one step."""
        unread = list({id(state): state for state in states if state.log_probs is None}.values())
        if not unread:
            return
        memories, log_probs = self.lm.step(
            [state.memory for state in unread], [state.token for state in unread]
        )
        for state, memory, row in zip(unread, memories, log_probs, strict=True):
            state.memory, state.log_probs = memory, row

    def extend(self, state: FusedState, label: int) -> tuple[FusedState, float]:
        """Return the state after one more label and the nats it is worth."""
        token = self.label_ids[label]
        worth = self.beta + self.alpha * self._log_prob(state, token)
        if token == self.unknown_id:
            worth += self.unknown
        other = state.other
        if self.others is not None:
            other, earned = self.others.extend(other, label)
            worth += earned
        return FusedState(state.memory, token, other), worth

    def finish(self, state: FusedState) -> float:
        """Return what the end of the text is worth after a prefix."""
        worth = self.alpha * self._log_prob(state, self.end)
        return worth + (self.others.finish(state.other) if self.others else 0.0)

    def gain(self, state: FusedState) -> float:
        """Return the most that one more label can be worth; probabilities are below 1."""
        most = max(0.0, self.beta) + _ROUNDING
        return most + (self.others.gain(state.other) if self.others else 0.0)

    def _log_prob(self, state: FusedState, token: int) -> float:
        self.prepare([state])
        assert state.log_probs is not None
        return float(state.log_probs[token])


def make_fusion(
    alphabet: Alphabet,
    *,
    lm: StepModel,
    others: Context | None,
    alpha: float,
    beta: float,
    unknown: float,
) -> FusionContext:
    """Return the context of a recurrent model whose tokens are an alphabet's labels.

    Args:
        alphabet: of the labels.
        lm: the model.
        others: hotwords, if any.
        alpha: weight of the model's natural-log probabilities.
        beta: nats for every label.
        unknown: nats for every label that the model does not know, beside what it has `<unk>` at.

    Raises:
        LanguageModelError: none of the model's tokens is a label.
    """
    labels = [label_token(label) for label in alphabet.labels]
    written = {label for k, label in enumerate(labels) if k != alphabet.blank}
    words = lm.known_words()
    unwritten = tuple(word for word in words if word not in written)
    if len(unwritten) == len(words):
        raise LanguageModelError(
            f"{lm.name}: none of its {len(words):,} tokens is a label of the recognizer; make a "
            f"model of text in the recognizer's unit ({alphabet.unit}), spelling and case"
        )
    end, unknown_id, *label_ids = lm.encode([END, UNKNOWN, *labels])
    return FusionContext(
        lm=lm,
        label_ids=tuple(label_ids),
        end=end,
        unknown_id=unknown_id,
        alpha=alpha,
        beta=beta,
        unknown=unknown,
        others=others,
        unwritten=unwritten,
    )
