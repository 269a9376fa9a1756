"""Certificates: how probable could a labelling be that the search has dropped?

Whatever a beam search drops, it drops at a frame and with a known mass. What could have become of
it is bounded by looking ahead, from the last frame to the first. For a labelling that goes on with
label j and then k, or with label j after a label i, the bounds

    after_blank(j, k)    on what its future can be worth after a blank
    after_label(i, j)    on what its future can be worth after a label i

follow from the symbols that such a labelling can emit in one frame, blank, j, or i again:

    after_blank(j, k) = y(blank) * after_blank'(j, k) + y(j) * after_label'(j, k)
    after_label(i, j) = y(i) * after_label'(i, j) + the largest after_blank(j, k) over k

with ' for the frame after, and in the last line without the direct step to j where j = i, since a
repeat needs a blank; the end of the text counts as a label. Asking for the next two labels is
what makes the bounds tight: a labelling that goes on with j cannot also gain from not taking it.

Each loss is noted where it happened: at the prefix that was dropped, or at the prefix and the label
that it could not be extended by. A labelling loses along its own prefixes only, so the largest sum
of losses along one branch of the tree of prefixes bounds what any labelling has lost; together with
what is still in the beam it bounds how probable a rival can be. Masses too small for a float, in
search and certificate alike, are in it as well: a bound is never below the 1e-300th part, per
frame, of what the best of all futures can be worth.

Cost is O(T * V^2) for the V labels, 256 at most, that reach one in a thousand in any frame; the
others share one row. For a search without a context. csrc/certificate.hpp is the same in C++.
"""

import numpy as np
from numpy.typing import NDArray

_RARE = 1e-3
_MOST_ROWS = 256
_SMALL = 1e-7  # of the best future: smaller losses of a frame are noted together
_UNDERFLOW = 1e-300  # of the best future: what a frame may lose without anybody seeing it


class Losses:
    """What a search over one item has dropped, in terms of what could have become of it.

    Args:
        log_probs: (T, V) natural logs of the whole item.
        blank: column of the CTC blank.
    """

    def __init__(self, log_probs: NDArray[np.float64], *, blank: int) -> None:
        num_frames = len(log_probs)
        self._blank = blank
        self._rows, num_rows = _assign_rows(log_probs, blank=blank)
        self._later_blank = np.ones(num_frames + 1)
        self._later_label = np.ones((num_frames + 1, num_rows))
        self._log_scale = np.zeros(num_frames + 1)
        self._look_ahead(log_probs)
        self._small = _SMALL * self._later_blank[0]
        self._lost: dict[int, float] = {}
        self._lost_extensions: dict[tuple[int, int], float] = {}
        self._frame = 0

    def _look_ahead(self, log_probs: NDArray[np.float64]) -> None:
        num_rows = self._later_label.shape[1]
        end, shared = 0, num_rows - 1
        own = np.arange(shared)  # two labels of the shared row may differ: no blank is needed
        after_blank = np.zeros((num_rows, num_rows))
        after_blank[end, end] = 1.0
        after_label = np.zeros((num_rows, num_rows))
        after_label[:, end] = 1.0
        for t in reversed(range(len(log_probs))):
            peak = log_probs[t].max()
            probs = np.zeros(num_rows)
            np.maximum.at(probs, self._rows, np.exp(log_probs[t] - peak))
            waiting = probs[end] * after_blank
            of_next = np.where(np.arange(num_rows) == end, 0.0, probs)
            after_blank = waiting + of_next[:, None] * after_label
            direct = np.tile(after_blank.max(axis=1), (num_rows, 1))
            direct[own, own] = waiting.max(axis=1)[own]
            after_label = probs[:, None] * after_label + direct
            scale = max(after_blank.max(), after_label.max())
            after_blank /= scale
            after_label /= scale
            self._later_blank[t] = after_blank.max()
            self._later_label[t] = after_label.max(axis=1)
            self._log_scale[t] = self._log_scale[t + 1] + peak + np.log(scale)

    def note(
        self,
        *,
        nodes: NDArray[np.int64],
        extended: NDArray[np.float64],
        is_dropped: NDArray[np.bool_],
        gone: NDArray[np.int64],
        in_blank: NDArray[np.float64],
        in_label: NDArray[np.float64],
        last: NDArray[np.int64],
        log_scale: float,
    ) -> None:
        """Note what the next frame's pruning dropped.

        Args:
            nodes: (K,) the active prefixes.
            extended: (K, V) the mass that each prefix gives to its extension by each label.
            is_dropped: (K, V) the extensions that are not in the beam.
            gone: rows of `nodes` that are dropped themselves.
            in_blank: their masses in blank.
            in_label: and in their last labels.
            last: their last labels.
            log_scale: of all these masses.
        """
        self._frame += 1
        t = self._frame
        scale = float(np.exp(log_scale + self._log_scale[t] - self._log_scale[0]))
        losses = extended * scale * self._later_label[t, self._rows]
        is_small = losses <= self._small
        for row, label in np.argwhere(is_dropped & ~is_small):
            edge = int(nodes[row]), int(label)
            self._lost_extensions[edge] = self._lost_extensions.get(edge, 0.0) + losses[row, label]
        rest = np.where(is_small, losses, 0.0).max(axis=1)
        futures = in_blank * self._later_blank[t]
        futures += np.where(last < 0, 0.0, in_label * self._later_label[t, self._rows[last]])
        for lost_at, lost in ((nodes, rest), (nodes[gone], futures * scale)):
            for node, mass in zip(lost_at, lost, strict=True):
                self._lost[int(node)] = self._lost.get(int(node), 0.0) + float(mass)

    def bound(
        self,
        parents: NDArray[np.int64],
        labels: NDArray[np.int64],
        rivals: NDArray[np.int64],
        log_masses: NDArray[np.float64],
    ) -> float:
        """Return the largest log-probability that a labelling other than the best may have.

        Args:
            parents: (N,) of every prefix; a parent comes before its children.
            labels: (N,) last labels.
            rivals: prefixes that ended in the beam, without the best.
            log_masses: their log-probabilities as far as the search has followed them.
        """
        extensions = dict(self._lost_extensions)
        total = np.zeros(len(parents))
        for node, (parent, label) in enumerate(zip(parents, labels, strict=True)):
            if parent >= 0:
                total[node] = total[parent] + extensions.pop((int(parent), int(label)), 0.0)
            total[node] += self._lost.get(node, 0.0)
        never_made = (total[node] + lost for (node, _), lost in extensions.items())
        kept = np.exp(log_masses - self._log_scale[0]) + total[rivals]
        most = max(float(total.max()), float(kept.max(initial=0.0)), max(never_made, default=0.0))
        most += _UNDERFLOW * self._frame
        return float(np.log(most) + self._log_scale[0]) if most > 0 else -np.inf


def _assign_rows(log_probs: NDArray[np.float64], *, blank: int) -> tuple[NDArray[np.int64], int]:
    """Return each label's row and how many there are; the blank's is the end of the text."""
    peaks = log_probs.max(axis=0, initial=-np.inf)
    peaks[blank] = -np.inf
    common = np.flatnonzero(peaks >= np.log(_RARE))
    common = common[np.argsort(-peaks[common], kind="stable")][:_MOST_ROWS]
    rows = np.full(len(peaks), len(common) + 1)
    rows[blank] = 0
    rows[common] = np.arange(1, len(common) + 1)
    return rows, len(common) + 2
