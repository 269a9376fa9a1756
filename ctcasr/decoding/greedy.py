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
from ctcasr.decoding.log_probs import check_log_probs, to_alphabet


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
