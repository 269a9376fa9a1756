"""Best path: the most probable symbol of every frame, collapsed.

The fastest search there is, O(T * V), and good where the network is sure of itself. It finds
the most probable path, which need not belong to the most probable text; `prefix_beam` sums over
paths. NumPy only; no torch.

Source: Graves et al. 2006, "Connectionist Temporal Classification", section 3.2.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcasr.alphabet import Alphabet
from ctcasr.decoding.hypothesis import Hypothesis, words_in_time
from ctcasr.decoding.log_probs import LogProbs, check_log_probs, to_alphabet


def best_path(log_probs: Any, labels: Alphabet | Sequence[str], *, blank: int = 0) -> Hypothesis:
    """Return the text of the most probable path, with word times from that path's frames.

    Args:
        log_probs: (T, V) natural logs, an array or a tensor; T may be 0.
        labels: an alphabet, or V characters in the order of the columns.
        blank: column of the CTC blank; an alphabet brings its own.

    Returns:
        A hypothesis whose `log_prob` is the log-probability of that one path, and so a lower bound
        of its text's.

    Raises:
        ValueError: the shape does not fit the labels, or the values are no log-probabilities.
    """
    alphabet = to_alphabet(labels, blank=blank)
    array = check_log_probs(log_probs, num_labels=len(alphabet))
    path = array.argmax(axis=1) if len(array) else np.zeros(0, dtype=np.int64)
    log_prob = float(array.max(axis=1).sum(dtype=np.float64)) if len(array) else 0.0
    found, spans = _collapse(path, blank=alphabet.blank)
    return Hypothesis(
        labels=found,
        text=alphabet.decode(found),
        log_prob=log_prob,
        ctc_log_prob=log_prob,
        find_words=partial(words_in_time, alphabet, found, spans),
    )


class BestPathStream:
    """A best path under way; what it ends with is what `best_path` gives for all frames at once.

    Args:
        labels, blank: see `best_path`.
    """

    def __init__(self, labels: Alphabet | Sequence[str], *, blank: int = 0) -> None:
        self._alphabet = to_alphabet(labels, blank=blank)
        self._chunks: list[LogProbs] = []
        self._last = self._alphabet.blank  # symbol of the last frame
        self._found: list[int] = []

    def feed(self, log_probs: Any) -> None:
        """Go on by some frames.

        Args:
            log_probs: (T, V) natural logs; T may be 0.

        Raises:
            ValueError: see `best_path`.
        """
        chunk = check_log_probs(log_probs, num_labels=len(self._alphabet))
        if not len(chunk):
            return
        path = np.concatenate([[self._last], chunk.argmax(axis=1)])
        began = path[1:][np.diff(path) != 0]
        self._found += [int(label) for label in began if label != self._alphabet.blank]
        self._last = int(path[-1])
        self._chunks.append(chunk.copy())  # the caller may use its buffer again

    @property
    def stable_labels(self) -> tuple[int, ...]:
        """The labels so far: no further frame changes them."""
        return tuple(self._found)

    @property
    def best(self) -> Hypothesis:
        """The best path, as if the text ended here."""
        return self.finish()[0]

    def finish(self) -> list[Hypothesis]:
        """Return the one hypothesis over all frames so far; more may still be fed."""
        empty = np.zeros((0, len(self._alphabet)), dtype=np.float32)
        return [best_path(np.concatenate([empty, *self._chunks]), self._alphabet)]


def _collapse(
    path: NDArray[np.int64], *, blank: int
) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    """Return a path's labels and the frames [start, end) that each one fills."""
    starts = np.flatnonzero(np.diff(path, prepend=-1))
    ends = np.flatnonzero(np.diff(path, append=-1)) + 1
    runs = [
        (int(path[start]), (int(start), int(end)))
        for start, end in zip(starts, ends, strict=True)
        if path[start] != blank
    ]
    return tuple(label for label, _ in runs), [span for _, span in runs]
