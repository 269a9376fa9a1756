"""Hotwords: words and phrases to be preferred, each with a boost in nats.

A boost of 3 makes a phrase e^3 = 20 times as probable, be it short or long: it is spread evenly
over the phrase's labels while they are being written, kept once the phrase is complete and its
last word has ended, and given back where the match breaks off, so a mere beginning costs nothing
and gains nothing. "art" does not match inside "party": phrases begin and end with words.

The matcher is the automaton of Aho and Corasick 1975 over labels and word boundaries; where a
match breaks off, it goes on with the longest beginning of a phrase that has just been written.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctcasr.alphabet import Alphabet, describe
from ctcasr.decoding.label_kinds import BOUNDARY, label_kinds, label_symbols
from ctcasr.decoding.lexicon import spell
from ctcasr.errors import HotwordError


@dataclass(frozen=True, slots=True)
class HotwordAutomaton:
    """The matcher in flat arrays; node 0 has matched nothing.

    Attributes:
        first_child: (N + 1,) the children of node n are first_child[n]:first_child[n + 1].
        child_symbol: (N - 1,) a label or BOUNDARY, sorted within a node.
        child_node: (N - 1,)
        fallback: (N,) the node of the longest proper suffix that begins a phrase.
        credit: (N,) nats lent to the beginning matched so far.
        reward: (N,) nats earned on reaching the node: the phrases that are complete there.
    """

    first_child: NDArray[np.int32]
    child_symbol: NDArray[np.int32]
    child_node: NDArray[np.int32]
    fallback: NDArray[np.int32]
    credit: NDArray[np.float64]
    reward: NDArray[np.float64]

    def step(self, node: int, symbol: int) -> tuple[int, float]:
        """Return the node after a symbol, and what it earns or gives back."""
        before = node
        while (after := self._child(node, symbol)) < 0 and node:
            node = int(self.fallback[node])
        node = max(after, 0)
        return node, float(self.credit[node] + self.reward[node] - self.credit[before])

    def _child(self, node: int, symbol: int) -> int:
        first, stop = self.first_child[node], self.first_child[node + 1]
        at = first + int(np.searchsorted(self.child_symbol[first:stop], symbol))
        if at < stop and self.child_symbol[at] == symbol:
            return int(self.child_node[at])
        return -1


def build_hotwords(boosts: Mapping[str, float], alphabet: Alphabet) -> HotwordAutomaton:
    """Return the automaton of phrases and their boosts.

    Raises:
        HotwordError: a phrase is empty or cannot be spelt, or a boost is not above 0.
    """
    children: list[dict[int, int]] = [{}]
    credit, reward = [0.0], [0.0]
    for phrase, boost in boosts.items():
        if not 0 < boost < np.inf:
            raise HotwordError(f"hotword {phrase!r}: boost {boost}; give nats above 0, as in 5")
        symbols = spell_phrase(phrase, alphabet)
        num_labels = sum(symbol != BOUNDARY for symbol in symbols)
        node, written = 0, 0
        for at, symbol in enumerate(symbols, start=1):
            known = children[node].setdefault(symbol, len(children))
            if known == len(children):
                children.append({})
                credit.append(0.0)
                reward.append(0.0)
            node = known
            written += symbol != BOUNDARY
            if at < len(symbols):  # at the last boundary the loan is earned
                credit[node] = max(credit[node], boost * written / num_labels)
        reward[node] += boost
    fallback = _fallbacks(children, reward)
    ordered = [sorted(below.items()) for below in children]
    return HotwordAutomaton(
        first_child=np.concatenate([[0], np.cumsum([len(b) for b in children])]).astype(np.int32),
        child_symbol=np.array([k for below in ordered for k, _ in below], dtype=np.int32),
        child_node=np.array([n for below in ordered for _, n in below], dtype=np.int32),
        fallback=np.array(fallback, dtype=np.int32),
        credit=np.array(credit),
        reward=np.array(reward),
    )


def spell_phrase(phrase: str, alphabet: Alphabet) -> tuple[int, ...]:
    """Return a phrase as labels, with a word boundary before, after and between its words.

    Raises:
        HotwordError: it is empty, or the alphabet has no label for a part of it.
    """
    words = phrase.split()
    if not words:
        raise HotwordError("a hotword is empty; give a word or a phrase")
    kinds = label_kinds(alphabet)
    symbols = [BOUNDARY]
    for word in words:
        labels = spell(alphabet, word)
        if labels is None:
            missing = alphabet.unknown(word)
            raise HotwordError(
                f"hotword {phrase!r} cannot be spelt; no label for {describe(missing)}; the model "
                f"can only write the labels it has learned"
            )
        parts = [part for label in labels for part in label_symbols(label, int(kinds[label]))]
        for symbol in (*parts, BOUNDARY):
            if symbol != BOUNDARY or symbols[-1] != BOUNDARY:
                symbols.append(symbol)
    return tuple(symbols)


def _fallbacks(children: Sequence[Mapping[int, int]], reward: list[float]) -> list[int]:
    """Return every node's fallback; phrases that end inside a longer one join its rewards."""
    fallback = [0] * len(children)
    queue = deque(children[0].values())
    while queue:  # breadth first: a fallback is shorter than what falls back to it
        node = queue.popleft()
        reward[node] += reward[fallback[node]]
        for symbol, child in children[node].items():
            shorter = fallback[node]
            while symbol not in children[shorter] and shorter:
                shorter = fallback[shorter]
            fallback[child] = children[shorter].get(symbol, 0)
            queue.append(child)
    return fallback
