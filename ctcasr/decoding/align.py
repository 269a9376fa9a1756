"""Forced alignment: when each label of a known sequence was said.

The Viterbi path through the CTC lattice of a label sequence: its states are blank, label 1, blank,
label 2, ..., blank; a path may stay, go on by one state, or skip the blank between two labels that
differ. Several sequences are aligned side by side, since one frame of one sequence is too little
work for NumPy to be fast.

Cost is O(T * U) time and T * (2U + 1) bytes for each sequence of U labels in T frames, so a very
long recording should be cut at pauses first. NumPy only; no torch.

Source: Graves 2012, "Supervised Sequence Labelling", section 7.3, with max in place of sum.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcasr.decoding.log_probs import check_log_probs, to_array

Span = tuple[int, int]

_LARGEST_TABLE = 2**26  # bytes of moves kept at a time


def forced_align(log_probs: Any, labels: Sequence[int], *, blank: int = 0) -> list[Span]:
    """Return the frames of each label on the most probable path that collapses to `labels`.

    Args:
        log_probs: (T, V) natural logs, an array or a tensor.
        labels: U label ids, without blanks.
        blank: column of the CTC blank.

    Returns:
        For each label its first frame and its last frame + 1; frames between two spans are blank.

    Raises:
        ValueError: too few frames for the labels and their adjacent repeats, a label that is blank
            or has no column, or labels of probability zero.
    """
    array = to_array(log_probs)
    array = check_log_probs(array, num_labels=array.shape[-1] if array.ndim else 0)
    return align_all(array, [labels], blank=blank)[0]


def align_all(
    log_probs: NDArray[np.float64], sequences: Sequence[Sequence[int]], *, blank: int
) -> list[list[Span]]:
    """Return `forced_align` of every sequence against the same checked (T, V) log-probabilities."""
    for labels in sequences:
        _check_labels(labels, log_probs.shape, blank=blank)
    longest = max((len(labels) for labels in sequences), default=0)
    together = max(1, _LARGEST_TABLE // max(1, len(log_probs) * (2 * longest + 1)))
    spans: list[list[Span]] = []
    for at in range(0, len(sequences), together):
        some = sequences[at : at + together]
        states = _best_states(log_probs, some, blank=blank)
        spans += [_spans(states[k], len(labels)) for k, labels in enumerate(some)]
    return spans


def _check_labels(labels: Sequence[int], shape: tuple[int, ...], *, blank: int) -> None:
    num_frames, num_symbols = shape
    for label in labels:
        if label == blank or not 0 <= label < num_symbols:
            raise ValueError(
                f"label {label} cannot be aligned; give columns of log_probs "
                f"(0 to {num_symbols - 1}), without the blank {blank}"
            )
    repeats = sum(left == right for left, right in itertools.pairwise(labels))
    if num_frames < len(labels) + repeats:
        raise ValueError(
            f"{num_frames} frames cannot hold {len(labels)} labels with {repeats} adjacent repeats "
            f"(CTC needs {len(labels) + repeats} frames)"
        )


def _best_states(
    log_probs: NDArray[np.float64], sequences: Sequence[Sequence[int]], *, blank: int
) -> NDArray[np.int64]:
    """Return the (K, T) lattice states of the best path of each of K sequences."""
    num_frames = len(log_probs)
    last_label = np.array([2 * len(labels) - 1 for labels in sequences])
    symbols = np.full((len(sequences), int(last_label.max()) + 2), blank)  # (K, S)
    for k, labels in enumerate(sequences):
        symbols[k, 1 : 2 * len(labels) : 2] = labels
    may_skip = np.zeros(symbols.shape, dtype=bool)
    may_skip[:, 2:] = (symbols[:, 2:] != blank) & (symbols[:, 2:] != symbols[:, :-2])

    moves = np.zeros((num_frames, *symbols.shape), dtype=np.uint8)  # how many states forward
    score = np.full(symbols.shape, -np.inf)
    score[:, 0] = 0.0  # before the first frame, as if in the first blank
    for t in range(num_frames):
        ways = np.full((3, *symbols.shape), -np.inf)
        ways[0] = score
        ways[1, :, 1:] = score[:, :-1]
        ways[2, :, 2:] = np.where(may_skip[:, 2:], score[:, :-2], -np.inf)
        moves[t] = ways.argmax(axis=0)
        score = ways.max(axis=0) + log_probs[t, symbols]

    rows = np.arange(len(sequences))
    ends_in_label = (last_label >= 0) & (score[rows, last_label] > score[rows, last_label + 1])
    state = last_label + 1 - ends_in_label
    if np.isneginf(score[rows, state]).any():
        which = sequences[int(np.isneginf(score[rows, state]).argmax())]
        raise ValueError(f"labels {tuple(which)} have probability zero in log_probs")
    states = np.zeros((len(sequences), num_frames), dtype=np.int64)
    for t in reversed(range(num_frames)):
        states[:, t] = state
        state = state - moves[t, rows, state]
    return states


def _spans(states: NDArray[np.int64], num_labels: int) -> list[Span]:
    """Return the frames of each label on one path, whose states never fall."""
    label_states = 2 * np.arange(num_labels) + 1
    starts = np.searchsorted(states, label_states, side="left")
    ends = np.searchsorted(states, label_states, side="right")
    return [(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]
