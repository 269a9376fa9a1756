"""Hotwords: words and phrases to be preferred, each with a boost in nats.

A boost of 3 makes a phrase e^3 = 20 times as probable, be it short or long: it is spread evenly
over the phrase's labels while they are being written, kept once the phrase is complete and its
last word has ended, and given back where the match breaks off, so a mere beginning costs nothing
and gains nothing. "art" does not match inside "party": phrases begin and end with words.

The matcher is the automaton of Aho and Corasick 1975 over labels and word boundaries; where a
match breaks off, it goes on with the longest beginning of a phrase that has just been written.
Several boundaries in a row, as two spaces make, count as one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctcasr.alphabet import Alphabet, describe
from ctcasr.decoding.label_kinds import BOUNDARY, LabelKind, label_kinds, label_symbols
from ctcasr.decoding.lexicon import name_unspelt, spell
from ctcasr.errors import HotwordError

_LARGEST = 100.0
"""Nats of a boost: e^100 settles everything."""

_MOST_REACH = 400.0
"""Nats that one label may earn: far from where exp overflows."""


@dataclass(frozen=True, slots=True)
class HotwordAutomaton:
    """The matcher in flat arrays; node 0 has matched nothing.

    Attributes:
        first_child: (N + 1,) the children of node n are first_child[n]:first_child[n + 1].
        child_symbol: a label or BOUNDARY, sorted within a node.
        child_node: as many. A node that ends in a boundary leads to itself by another one.
        fallback: (N,) the node of the longest proper suffix that begins a phrase.
        credit: (N,) nats lent to the beginning matched so far.
        reward: (N,) nats earned on coming to the node: the phrases that are complete there.
        reach: (N,) the most that the next label can bring, in rewards and as credit afterwards.
    """

    first_child: NDArray[np.int32]
    child_symbol: NDArray[np.int32]
    child_node: NDArray[np.int32]
    fallback: NDArray[np.int32]
    credit: NDArray[np.float64]
    reward: NDArray[np.float64]
    reach: NDArray[np.float64]

    def step(self, node: int, symbol: int) -> tuple[int, float]:
        """Return the node after a symbol, and what it earns or gives back."""
        before = node
        while (after := self._child(node, symbol)) < 0 and node:
            node = int(self.fallback[node])
        node = max(after, 0)
        if node == before:
            return node, 0.0
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
        if not 0 < boost <= _LARGEST:
            raise HotwordError(
                f"hotword {phrase!r}: boost {boost}; give nats above 0 and up to {_LARGEST:.0f}, "
                f"as in 5"
            )
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
    order, fallback = _fallbacks(children)
    for node in order:  # phrases that end inside a longer one join its rewards
        reward[node] += reward[fallback[node]]
    reach = _reaches(children, order, fallback, credit, reward, kinds=label_kinds(alphabet))
    if max(reach) > _MOST_REACH:
        raise HotwordError(
            f"hotwords that end in the same place add up to a boost of {max(reach):.0f}; give "
            f"smaller ones, {_MOST_REACH:.0f} together at most"
        )
    for node in _ending_in_boundary(children):
        children[node][BOUNDARY] = node
    ordered = [sorted(below.items()) for below in children]
    return HotwordAutomaton(
        first_child=np.concatenate([[0], np.cumsum([len(b) for b in children])]).astype(np.int32),
        child_symbol=np.array([k for below in ordered for k, _ in below], dtype=np.int32),
        child_node=np.array([n for below in ordered for _, n in below], dtype=np.int32),
        fallback=np.array(fallback, dtype=np.int32),
        credit=np.array(credit),
        reward=np.array(reward),
        reach=np.array(reach),
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
    if len(words) > 1 and (kinds == LabelKind.INSIDE).all():
        raise HotwordError(
            f"hotword {phrase!r} has {len(words)} words, but no label of the model parts words; "
            f"give single words"
        )
    symbols = [BOUNDARY]
    for word in words:
        labels = spell(alphabet, word)
        if labels is None:
            missing = describe(name_unspelt(alphabet, word))
            raise HotwordError(
                f"hotword {phrase!r} cannot be spelt; no label for {missing}; the model can only "
                f"write the labels it has learned"
            )
        parts = [part for label in labels for part in label_symbols(label, int(kinds[label]))]
        for symbol in (*parts, BOUNDARY):
            if symbol != BOUNDARY or symbols[-1] != BOUNDARY:
                symbols.append(symbol)
    return tuple(symbols)


def _fallbacks(children: Sequence[Mapping[int, int]]) -> tuple[list[int], list[int]]:
    """Return all nodes but the root, shorter matches first, and every node's fallback."""
    fallback = [0] * len(children)
    order = list(children[0].values())
    for node in order:  # grows while it is read; a fallback is shorter than what falls back to it
        for symbol, child in children[node].items():
            shorter = fallback[node]
            while symbol not in children[shorter] and shorter:
                shorter = fallback[shorter]
            fallback[child] = children[shorter].get(symbol, 0)
            order.append(child)
    return order, fallback


def _ending_in_boundary(children: Sequence[Mapping[int, int]]) -> list[int]:
    return [below[BOUNDARY] for below in children if BOUNDARY in below]


def _reaches(
    children: Sequence[Mapping[int, int]],
    order: Sequence[int],
    fallback: Sequence[int],
    credit: Sequence[float],
    reward: Sequence[float],
    *,
    kinds: NDArray[np.uint8],
) -> list[float]:
    """Return for each node the most that one more label can bring."""

    def best_child(values: Sequence[float]) -> list[float]:
        best = [0.0] * len(children)
        for node in (0, *order):
            below = (values[child] for child in children[node].values())
            best[node] = max(best[fallback[node]], *below, 0.0)
        return best

    by_symbol = best_child([lent + earned for lent, earned in zip(credit, reward, strict=True)])
    for node in _ending_in_boundary(children):  # another boundary changes nothing
        by_symbol[node] = max(by_symbol[node], credit[node])
    if np.isin(kinds, (LabelKind.INSIDE, LabelKind.SPACE)).all():
        return by_symbol
    # A label that is a boundary as well makes two steps, and may be rewarded in both.
    by_two = best_child([more + earned for more, earned in zip(by_symbol, reward, strict=True)])
    return [max(both) for both in zip(by_symbol, by_two, strict=True)]
