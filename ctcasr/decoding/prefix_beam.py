"""CTC prefix beam search: the most probable label sequence, not the most probable path.

A path gives one symbol, label or blank, per frame; collapsing it drops repeats, then blanks. An
entry of the beam is a collapsed prefix. Its mass sums all paths that collapse to it, in two parts,
because a repeated label needs a blank between its copies:

    in_blank    mass of the paths that end in blank
    in_label    mass of the paths that end in the prefix's last label

A prefix may stay as it is for a frame, or be extended by one label. The mass of staying is counted
first, together with what flows from an active parent into its active child. A new prefix has one
source only, so once the beam is full, no extension below the smallest staying mass can survive:
this cut-off is exact, and leaves few candidates to sort. Masses are linear and rescaled in every
frame, so the inner loop takes no logarithm; what is e^-700 below the best is lost, nothing else.

Cost is O(T * K * V) for T frames, beam K and V symbols. NumPy only; no torch.

Sources: Graves 2012, "Supervised Sequence Labelling", section 7.5.2;
Hannun et al. 2014, arXiv:1408.2873, algorithm 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ctcasr.alphabet import Alphabet
from ctcasr.decoding.align import align_all
from ctcasr.decoding.hypothesis import Hypothesis, words_in_time
from ctcasr.decoding.log_probs import check_log_probs, to_alphabet, to_array


class PrefixBeamDecoder:
    """A prefix beam search with its settings; call it with log-probabilities.

    Args:
        labels: an alphabet, or V characters in the order of the columns.
        blank: column of the CTC blank; an alphabet brings its own.
        beam: how many prefixes are kept per frame.
        threshold: extensions with less than this share of the best prefix's mass are dropped;
            0 keeps every extension that the beam has room for.

    Raises:
        ValueError: a beam below 1, or a threshold outside 0 <= threshold < 1.
    """

    def __init__(
        self,
        labels: Alphabet | Sequence[str],
        *,
        blank: int = 0,
        beam: int = 16,
        threshold: float = 1e-6,
    ) -> None:
        if beam < 1:
            raise ValueError(f"beam is {beam}; give at least 1")
        if not 0.0 <= threshold < 1.0:
            raise ValueError(f"threshold is {threshold}; give a share from 0 (exact) to below 1")
        self.alphabet = to_alphabet(labels, blank=blank)
        self.beam = beam
        self.threshold = threshold

    @overload
    def __call__(self, log_probs: Any) -> list[Hypothesis]: ...

    @overload
    def __call__(self, log_probs: Any, lengths: Any) -> list[list[Hypothesis]]: ...

    def __call__(
        self, log_probs: Any, lengths: Any = None
    ) -> list[Hypothesis] | list[list[Hypothesis]]:
        """Return up to `beam` hypotheses, best first, for one item or for each of a batch.

        Args:
            log_probs: natural logs, (T, V), or (B, T, V) with `lengths`; an array or a tensor.
            lengths: (B,) frames that count; what lies beyond is never looked at.

        Returns:
            Hypotheses with distinct labels; `log_prob` sums the paths that stayed in the beam, and
            word times come from a forced alignment. T = 0 gives one empty hypothesis.

        Raises:
            ValueError: the shapes do not fit, or the values are no log-probabilities.
        """
        array = to_array(log_probs)
        if lengths is None:
            return self._decode(array)
        valid = to_array(lengths).astype(np.int64)
        if array.ndim != 3 or valid.shape != array.shape[:1]:
            raise ValueError(
                f"log_probs has shape {array.shape} and lengths {valid.shape}; "
                f"give (batch, time, labels) and (batch,)"
            )
        if len(valid) and not 0 <= valid.min() <= valid.max() <= array.shape[1]:
            raise ValueError(
                f"lengths run from {valid.min()} to {valid.max()} but there are "
                f"{array.shape[1]} frames"
            )
        return [self._decode(item[:length]) for item, length in zip(array, valid, strict=True)]

    def _decode(self, array: NDArray[np.float64]) -> list[Hypothesis]:
        alphabet = self.alphabet
        log_probs = check_log_probs(array, num_labels=len(alphabet))
        found = search_prefixes(
            log_probs, blank=alphabet.blank, beam=self.beam, threshold=self.threshold
        )
        spans = align_all(log_probs, [labels for labels, _ in found], blank=alphabet.blank)
        return [
            Hypothesis(
                labels=labels,
                text=alphabet.decode(labels),
                log_prob=log_prob,
                ctc_log_prob=log_prob,
                lm_log_prob=None,
                words=words_in_time(alphabet, labels, label_spans),
            )
            for (labels, log_prob), label_spans in zip(found, spans, strict=True)
        ]


def search_prefixes(
    log_probs: NDArray[np.float64], *, blank: int, beam: int, threshold: float
) -> list[tuple[tuple[int, ...], float]]:
    """Return up to `beam` label sequences with their log-probabilities, best first.

    Args:
        log_probs: (T, V) natural logs, checked.
        blank: column of the CTC blank.
        beam: prefixes kept per frame.
        threshold: smallest mass of an extension, as a share of the best prefix's.
    """
    tree = _PrefixTree()
    active = _Beam.empty()
    peaks = log_probs.max(axis=1, initial=-np.inf)
    frames = np.exp(log_probs - peaks[:, None])  # each frame's best symbol is 1
    log_scale = float(peaks.sum())
    for probs in frames:
        active = _advance(active, probs, tree, blank=blank, beam=beam, threshold=threshold)
        largest = active.mass.max()
        active.in_blank /= largest
        active.in_label /= largest
        log_scale += float(np.log(largest))
    order = np.argsort(-active.mass, kind="stable")
    return [
        (tree.prefix(int(active.nodes[k])), float(np.log(active.mass[k])) + log_scale)
        for k in order
        if active.mass[k] > 0.0
    ]


class _PrefixTree:
    """Every prefix that has ever been in the beam, as a node: its parent and its last label."""

    def __init__(self) -> None:
        self._parents = [-1]  # node 0 is the empty prefix
        self._labels = [-1]
        self._children: dict[tuple[int, int], int] = {}

    def child(self, node: int, label: int) -> int:
        """Return the one node of `node`'s prefix and `label`, made when first asked for."""
        known = self._children.setdefault((node, label), len(self._parents))
        if known == len(self._parents):
            self._parents.append(node)
            self._labels.append(label)
        return known

    def prefix(self, node: int) -> tuple[int, ...]:
        """Return the labels from the root to `node`."""
        labels = []
        while node:
            labels.append(self._labels[node])
            node = self._parents[node]
        return tuple(reversed(labels))


@dataclass
class _Beam:
    """The active prefixes, one per row of each (K,) array.

    The empty prefix has -1 for its parent and its last label. That label indexes the last symbol,
    which does no harm: its `in_label` is always 0.
    """

    nodes: NDArray[np.int64]
    parents: NDArray[np.int64]
    labels: NDArray[np.int64]
    in_blank: NDArray[np.float64]
    in_label: NDArray[np.float64]

    @classmethod
    def empty(cls) -> "_Beam":
        """Return the beam before the first frame: the empty prefix, certain."""
        none = np.array([-1])
        return cls(np.array([0]), none, none, np.array([1.0]), np.array([0.0]))

    @property
    def mass(self) -> NDArray[np.float64]:
        """Mass of all paths of each prefix."""
        return self.in_blank + self.in_label


def _advance(
    active: _Beam,
    probs: NDArray[np.float64],
    tree: _PrefixTree,
    *,
    blank: int,
    beam: int,
    threshold: float,
) -> _Beam:
    """Return the beam after a frame whose symbols have probabilities `probs` (V,), rescaled."""
    mass = active.mass
    rows = np.arange(len(mass))
    extended = mass[:, None] * probs  # (K, V)
    extended[rows, active.labels] = active.in_blank * probs[active.labels]  # a repeat needs a blank
    extended[:, blank] = 0.0

    in_blank = mass * probs[blank]
    in_label = active.in_label * probs[active.labels]
    child, parent = np.nonzero(active.parents[:, None] == active.nodes)
    flowing = parent, active.labels[child]
    in_label[child] += extended[flowing]
    extended[flowing] = 0.0  # it has arrived at an entry that exists

    staying = in_blank + in_label
    floor = threshold * max(staying.max(), extended.max())
    if len(staying) == beam:
        floor = max(floor, staying.min())
    source, label = np.nonzero(extended > floor)
    scores = np.concatenate([staying, extended[source, label]])
    kept = np.argsort(-scores, kind="stable")[:beam]
    old, new = kept[kept < len(staying)], kept[kept >= len(staying)] - len(staying)
    source, label = source[new], label[new]
    parents = active.nodes[source]
    nodes = [tree.child(int(node), int(last)) for node, last in zip(parents, label, strict=True)]
    return _Beam(
        nodes=np.concatenate([active.nodes[old], np.array(nodes, dtype=np.int64)]),
        parents=np.concatenate([active.parents[old], parents]),
        labels=np.concatenate([active.labels[old], label]),
        in_blank=np.concatenate([in_blank[old], np.zeros(len(new))]),
        in_label=np.concatenate([in_label[old], extended[source, label]]),
    )
