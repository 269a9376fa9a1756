"""CTC prefix beam search: the most probable label sequence, not the most probable path.

A path gives each frame one symbol, label or blank; collapsing it drops repeats, then blanks. An
entry of the beam is a collapsed prefix. Its mass sums all paths that collapse to it, in two parts,
because a repeated label needs a blank between its copies:

    in_blank    mass of the paths that end in blank
    in_label    mass of the paths that end in the prefix's last label

A prefix may stay as it is for a frame, or be extended by one label. The mass of staying is counted
first, together with what flows from an active parent into its active child. A new prefix has one
source only, so once the beam is full, no extension below the smallest staying mass can survive:
this cut-off is exact, and leaves few candidates to look at. Masses are linear and rescaled in every
frame by a power of two, which rounds nothing, so the inner loop takes no logarithm; what is e^-700
below the best is lost, nothing else.

What is left at the end is weighed again over all its paths (weighing.py), since a beam loses some
of their mass on the way, and not the same share of each.

A context (context.py) weighs prefixes: masses carry its weight, exp of the nats that a prefix is
worth, from the moment the prefix comes into being.

Without a context the search can be certified: certificate.py weighs everything that was ever in the
beam again, exactly, and bounds the probability of all else, where best_first.py then looks for
something better.

This file is the definition in readable NumPy; csrc/search.hpp is the same in C++, and
tests/test_decoding_backends.py holds one against the other.

Sources: Graves 2012, "Supervised Sequence Labelling", section 7.5.2;
Hannun et al. 2014, arXiv:1408.2873, algorithm 1.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcasr.decoding.best_first import ROUNDING, search_best_first
from ctcasr.decoding.certificate import certify
from ctcasr.decoding.context import PrefixContext
from ctcasr.decoding.log_probs import LogProbs
from ctcasr.decoding.weighing import weigh

ROOT = 0
_MOST_PROOFS = 1_000  # prefixes opened to find something better than the beam did


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What a search drops.

    Attributes:
        blank: column of the CTC blank.
        beam: prefixes kept per frame.
        threshold: prefixes with less than this share of the best one's mass are dropped.
        label_threshold: no new prefix is made with a label that is less probable than this in a
            frame.
    """

    blank: int
    beam: int
    threshold: float
    label_threshold: float


@dataclass(frozen=True, slots=True)
class Found:
    """A label sequence that the search ended with.

    Attributes:
        labels: without blanks.
        log_prob: of the labels and their context together.
        ctc_log_prob: of all paths.
    """

    labels: tuple[int, ...]
    log_prob: float
    ctc_log_prob: float


class PrefixSearch:
    """A search under way: give it frames, then ask what it found.

    Args:
        pruning: what is dropped.
        context: what prefixes are worth; None where all are worth the same.
    """

    def __init__(self, pruning: Pruning, context: PrefixContext | None = None) -> None:
        self._pruning = pruning
        self._tree = _PrefixTree(context)
        self._log_scale = 0.0
        self._active = np.array([ROOT])
        self._in_blank = np.array([1.0])
        self._in_label = np.array([0.0])

    def advance(self, log_probs: LogProbs) -> None:
        """Go on by the frames of (T, V) natural logs.

        Raises:
            ValueError: nothing that the context allows has a probability above zero.
        """
        for frame in log_probs.astype(np.float64):
            peak = float(frame.max())
            self._step(frame, log_peak=peak)
            _, exponent = np.frexp(self._mass.max())
            self._in_blank = np.ldexp(self._in_blank, -exponent)
            self._in_label = np.ldexp(self._in_label, -exponent)
            self._log_scale += peak + float(exponent) * math.log(2)

    def found(self, log_probs: LogProbs, count: int) -> list[Found]:
        """Return up to `count` label sequences, best first, as if the text ended here.

        Where the context lets no active prefix end here, as in the middle of a word, all are
        returned as they stand.

        Args:
            log_probs: all frames that the search was given.
            count: most label sequences returned.
        """
        tree = self._tree
        tree.prepare(self._active)
        ends = np.array([tree.finish(int(node)) for node in self._active])
        if np.isneginf(ends).all():
            ends = np.zeros(len(ends))
        worths = tree.worth[self._active]
        with np.errstate(divide="ignore"):
            kept = np.log(self._mass) + self._log_scale - worths
        ctc_log_probs = np.maximum(kept, self._weigh(log_probs))
        scores = ctc_log_probs + worths + ends
        order = np.lexsort([self._active, -scores])
        return [
            Found(
                labels=tree.prefix(int(self._active[k])),
                log_prob=float(scores[k]),
                ctc_log_prob=float(ctc_log_probs[k]),
            )
            for k in order[:count]
            if scores[k] > -np.inf
        ]

    def stable(self) -> tuple[int, ...]:
        """Return the labels with which everything still in the beam begins."""
        prefixes = [self._tree.prefix(int(node)) for node in self._active]
        first, last = min(prefixes), max(prefixes)
        same = 0
        while same < min(len(first), len(last)) and first[same] == last[same]:
            same += 1
        return first[:same]

    def certify(self, log_probs: LogProbs, count: int) -> tuple[list[Found], float]:
        """Weigh all that was ever in the beam again, and look for something better outside.

        Only without a context.

        Args:
            log_probs: all frames that the search was given.
            count: most label sequences returned.

        Returns:
            Label sequences, best first, with their exact log-probabilities, and an upper bound on
            that of any other than the first.
        """
        tree = self._tree
        weighed = certify(
            log_probs.astype(np.float64), tree.parents, tree.labels, blank=self._pruning.blank
        )
        order = np.lexsort([np.arange(len(tree.parents)), -weighed.log_probs])
        second = float(weighed.log_probs[order[1]]) if len(order) > 1 else -np.inf
        found = [
            Found(
                tree.prefix(int(node)),
                float(weighed.log_probs[node]),
                float(weighed.log_probs[node]),
            )
            for node in order[:count]
            if weighed.log_probs[node] > -np.inf
        ]
        outside = weighed.outside_at_most
        if found and outside > found[0].log_prob:
            peaks = log_probs.max(axis=1, keepdims=True).astype(np.float64)
            proof = search_best_first(
                log_probs - peaks,
                blank=self._pruning.blank,
                max_work=_MOST_PROOFS * len(log_probs),
                least=found[0].log_prob - peaks.sum(),
            )
            value = proof.value + float(peaks.sum())
            if value > found[0].log_prob + ROUNDING:
                second = found[0].log_prob
                found = [Found(proof.labels, value, value), *found][:count]
            bound = proof.bound + float(peaks.sum())
            outside = found[0].log_prob if proof.is_proven else min(outside, bound)
        return found, max(second, outside)

    def _weigh(self, log_probs: LogProbs) -> NDArray[np.float64]:
        """Return the log-mass of all paths of each active prefix."""
        tree = self._tree
        is_wanted = np.zeros(len(tree.parents), dtype=bool)
        for node in self._active.tolist():
            while node >= 0 and not is_wanted[node]:
                is_wanted[node] = True
                node = int(tree.parents[node])
        places = np.cumsum(is_wanted) - 1
        wanted = np.flatnonzero(is_wanted)
        parents = np.concatenate([[-1], places[tree.parents[wanted[1:]]]])
        weighed = weigh(
            log_probs.astype(np.float64), parents, tree.labels[wanted], blank=self._pruning.blank
        )
        found: NDArray[np.float64] = weighed[places[self._active]]
        return found

    @property
    def _mass(self) -> NDArray[np.float64]:
        mass: NDArray[np.float64] = self._in_blank + self._in_label
        return mass

    def _step(self, log_probs: NDArray[np.float64], log_peak: float) -> None:
        """Go on by one frame (V,); masses come out relative to its largest probability."""
        tree, pruning = self._tree, self._pruning
        tree.prepare(self._active)
        probs = np.exp(log_probs - log_peak)
        nodes, mass = self._active, self._mass
        rows = np.arange(len(nodes))
        last = tree.labels[nodes]  # the root's -1 does no harm: it has no mass in a label
        extended = mass[:, None] * probs  # (K, V)
        extended[rows, last] = self._in_blank * probs[last]  # a repeat needs a blank
        extended[:, pruning.blank] = 0.0

        in_blank = mass * probs[pruning.blank]
        in_label = self._in_label * probs[last]
        child, parent = np.nonzero(tree.parents[nodes][:, None] == nodes)
        in_label[child] += extended[parent, last[child]] * tree.factor[nodes[child]]
        extended[parent, last[child]] = 0.0  # it has arrived at an entry that exists
        staying = in_blank + in_label

        with np.errstate(divide="ignore"):
            extended[:, log_probs < np.log(pruning.label_threshold)] = 0.0
        floor = pruning.threshold * staying.max()
        gain = np.exp([tree.gain(int(node)) for node in nodes])
        source, label = np.nonzero(extended * gain[:, None] > floor)
        grown = extended[source, label] * tree.factors(nodes[source], label)
        floor = pruning.threshold * max(staying.max(), grown.max(initial=0.0))
        if floor == 0.0 == max(staying.max(), grown.max(initial=0.0)):
            raise ValueError("nothing that the lexicon allows has a probability above zero")
        scores = np.concatenate([staying, grown])
        is_new = np.concatenate([np.zeros(len(staying)), np.ones(len(grown))])
        origin = np.concatenate([nodes, nodes[source]])
        order = np.lexsort([np.concatenate([last, label]), origin, is_new, -scores])
        kept = np.sort(order[: pruning.beam])
        kept = kept[scores[kept] > floor]
        old, new = kept[kept < len(nodes)], kept[kept >= len(nodes)] - len(nodes)
        source, label = source[new], label[new]
        born = tree.grow(nodes[source], label)
        self._active = np.concatenate([nodes[old], born])
        self._in_blank = np.concatenate([in_blank[old], np.zeros(len(new))])
        self._in_label = np.concatenate([in_label[old], grown[new]])


class _PrefixTree:
    """Every prefix that has ever been in the beam, as a node: its parent, its label, its worth."""

    def __init__(self, context: PrefixContext | None) -> None:
        self._context = context
        self._children: dict[tuple[int, int], int] = {}
        self._extensions: dict[tuple[int, int], tuple[Any, float]] = {}
        self._states: list[Any] = [context.start() if context else None]
        self.parents = np.array([-1])
        self.labels = np.array([-1])
        self.worth = np.array([0.0])
        self.factor = np.array([1.0])
        """exp of what a prefix is worth beyond its parent."""

    def prepare(self, nodes: NDArray[np.int64]) -> None:
        """Let the context get ready to be asked about some prefixes."""
        if self._context is not None:
            self._context.prepare([self._states[int(node)] for node in nodes])

    def grow(self, nodes: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the nodes of prefixes one label longer, made when first asked for."""
        grown = [self._child(int(n), int(k)) for n, k in zip(nodes, labels, strict=True)]
        return np.array(grown, dtype=np.int64)

    def factors(self, nodes: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the factors of prefixes one label longer, 0 where the context forbids one."""
        if self._context is None:
            return np.ones(len(nodes))
        worths = [self._extend(int(n), int(k))[1] for n, k in zip(nodes, labels, strict=True)]
        return np.exp(worths)

    def gain(self, node: int) -> float:
        """Return the most that one more label can be worth."""
        return self._context.gain(self._states[node]) if self._context else 0.0

    def finish(self, node: int) -> float:
        """Return what the end of the text is worth after a prefix."""
        return self._context.finish(self._states[node]) if self._context else 0.0

    def prefix(self, node: int) -> tuple[int, ...]:
        """Return the labels from the root to `node`."""
        labels = []
        while node != ROOT:
            labels.append(int(self.labels[node]))
            node = int(self.parents[node])
        return tuple(reversed(labels))

    def _extend(self, node: int, label: int) -> tuple[Any, float]:
        if self._context is None:
            return None, 0.0
        state = self._states[node]
        known = self._extensions.get((node, label))
        if known is None:
            known = self._extensions[node, label] = self._context.extend(state, label)
        return known

    def _child(self, node: int, label: int) -> int:
        known = self._children.get((node, label))
        if known is not None:
            return known
        state, worth = self._extend(node, label)
        child = self._children[node, label] = len(self._states)
        self._states.append(state)
        self.parents = np.append(self.parents, node)
        self.labels = np.append(self.labels, label)
        self.worth = np.append(self.worth, self.worth[node] + worth)
        self.factor = np.append(self.factor, np.exp(worth))
        return child
