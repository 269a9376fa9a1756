"""Forced alignment: when each label of a known sequence was said.

The Viterbi path through the CTC lattice of a label sequence: its states are blank, label 1, blank,
label 2, ..., blank; a path may stay, go on by one state, or skip the blank between two labels that
differ. Several sequences are aligned side by side, since one frame of one sequence is too little
work for NumPy to be fast.

Cost is O(T * U) time for a sequence of U labels in T frames. Of the moves that lead back from the
end, not all T * (2U + 1) are kept: scores are stored once in every B = 1,024 frames, and the moves
of one block at a time are computed again from there. A path that leaves a block in state s has
entered it no lower than s - 2B, so only that band is computed again. The result is exact, the
second pass costs next to nothing, and memory is about 8 (2U + 1) T / B + 2 B^2 bytes: 80 MB for two
hours at 30 ms a frame and 20,000 labels; the whole table would have 9.6 GB.

This file is the definition in readable NumPy; csrc/align.hpp is the same in C++ and used where it
was built. No torch.

Sources: Graves 2012, "Supervised Sequence Labelling", section 7.3, with max in place of sum;
Grice, Hughey and Speck 1997, "Reduced space sequence alignment", for the stored scores.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcasr.decoding import core
from ctcasr.decoding.log_probs import LogProbs, check_log_probs, contiguous, to_array

Span = tuple[int, int]

_LARGEST_TABLE = 2**26  # bytes of moves kept at a time, for several sequences together
_BLOCK = 1024  # frames between stored scores


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
    log_probs: LogProbs,
    sequences: Sequence[Sequence[int]],
    *,
    blank: int,
    use_core: bool | None = None,
) -> list[list[Span]]:
    """Return `forced_align` of every sequence against the same checked (T, V) log-probabilities.

    `use_core` False takes NumPy, for comparing the two.
    """
    for labels in sequences:
        _check_labels(labels, log_probs.shape, blank=blank)
    if core.HAS_CORE and use_core is not False:
        return [_align_in_core(log_probs, labels, blank=blank) for labels in sequences]
    return _align_in_numpy(log_probs.astype(np.float64), sequences, blank=blank)


def _align_in_core(log_probs: LogProbs, labels: Sequence[int], *, blank: int) -> list[Span]:
    wanted = np.array(labels, dtype=np.int32)
    spans = core.compiled.align(contiguous(log_probs), wanted, blank=blank, block=_BLOCK)
    if spans is None:
        raise _impossible(labels)
    return spans


def _align_in_numpy(
    log_probs: NDArray[np.float64], sequences: Sequence[Sequence[int]], *, blank: int
) -> list[list[Span]]:
    longest = max((len(labels) for labels in sequences), default=0)
    block = min(len(log_probs), _BLOCK)
    band = min(2 * longest + 1, 2 * block + 1)
    together = max(1, _LARGEST_TABLE // max(1, block * band))
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


@dataclass(frozen=True, slots=True)
class _Lattice:
    """States of K sequences side by side, or a band of them; row k, column s is one state.

    Attributes:
        symbols: (K, S) the column of log_probs that a state reads.
        skip_penalty: (K, S) 0 where the state before may be skipped, else -inf.
    """

    symbols: NDArray[np.int64]
    skip_penalty: NDArray[np.float64]

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]], *, blank: int) -> "_Lattice":
        """Return all states: blank, label 1, blank, ..., blank; more blanks after a short one."""
        longest = max(len(labels) for labels in sequences)
        symbols = np.full((len(sequences), 2 * longest + 1), blank)
        for k, labels in enumerate(sequences):
            symbols[k, 1 : 2 * len(labels) : 2] = labels
        skip_penalty = np.full(symbols.shape, -np.inf)
        differ = (symbols[:, 2:] != blank) & (symbols[:, 2:] != symbols[:, :-2])
        skip_penalty[:, 2:][differ] = 0.0
        return cls(symbols, skip_penalty)

    def band(self, columns: NDArray[np.int64]) -> "_Lattice":
        """Return only the (K, W) given columns of each row, which are neighbours."""
        return _Lattice(
            np.take_along_axis(self.symbols, columns, axis=1),
            np.take_along_axis(self.skip_penalty, columns, axis=1),
        )

    def advance(
        self,
        score: NDArray[np.float64],
        frame: NDArray[np.float64],
        moves: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.float64]:
        """Return the (K, S) scores after a frame; note in `moves` how many states forward."""
        best = score.copy()
        np.maximum(best[:, 1:], score[:, :-1], out=best[:, 1:])
        skipped = score[:, :-2] + self.skip_penalty[:, 2:]
        if moves is not None:
            moves[:, 1:] = score[:, :-1] > score[:, 1:]
            moves[:, 2:][skipped > best[:, 2:]] = 2
        np.maximum(best[:, 2:], skipped, out=best[:, 2:])
        best += frame[self.symbols]
        return best


def _best_states(
    log_probs: NDArray[np.float64], sequences: Sequence[Sequence[int]], *, blank: int
) -> NDArray[np.int64]:
    """Return the (K, T) lattice states of the best path of each of K sequences."""
    lattice = _Lattice.of(sequences, blank=blank)
    score = np.full(lattice.symbols.shape, -np.inf)
    score[:, 0] = 0.0  # before the first frame, as if in the first blank
    stored = []
    for t, frame in enumerate(log_probs):
        if t % _BLOCK == 0:
            stored.append(score)
        score = lattice.advance(score, frame)

    state = _last_states(score, sequences)
    states = np.zeros((len(sequences), len(log_probs)), dtype=np.int64)
    while stored:
        block = slice(len(stored) * _BLOCK - _BLOCK, len(stored) * _BLOCK)
        state = _trace_block(lattice, stored.pop(), log_probs[block], state, states[:, block])
    return states


def _last_states(
    score: NDArray[np.float64], sequences: Sequence[Sequence[int]]
) -> NDArray[np.int64]:
    """Return the (K,) states in which the best paths end: the last label or the blank after it."""
    rows = np.arange(len(sequences))
    last_label = np.array([2 * len(labels) - 1 for labels in sequences])
    ends_in_label = (last_label >= 0) & (score[rows, last_label] > score[rows, last_label + 1])
    state: NDArray[np.int64] = last_label + 1 - ends_in_label
    if np.isneginf(score[rows, state]).any():
        raise _impossible(sequences[int(np.isneginf(score[rows, state]).argmax())])
    return state


def _impossible(labels: Sequence[int]) -> ValueError:
    return ValueError(f"labels {tuple(labels)} have probability zero in log_probs")


def _trace_block(
    lattice: _Lattice,
    score: NDArray[np.float64],
    frames: NDArray[np.float64],
    state: NDArray[np.int64],
    states: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Fill in the (K, B) `states` of a block that ends in `state`; return those before it.

    Args:
        lattice: all states.
        score: (K, S) before the block's first frame.
        frames: (B, V) log-probabilities.
        state: (K,) states of the block's last frame.
        states: (K, B), written to.
    """
    num_states = score.shape[1]
    width = min(num_states, 2 * len(frames) + 1)
    lowest = np.clip(state - 2 * len(frames), 0, num_states - width)
    columns = lowest[:, None] + np.arange(width)
    band = lattice.band(columns)
    score = np.take_along_axis(score, columns, axis=1)
    moves = np.zeros((len(frames), *score.shape), dtype=np.uint8)
    for t, frame in enumerate(frames):
        score = band.advance(score, frame, moves[t])
    rows = np.arange(len(state))
    for t in reversed(range(len(frames))):
        states[:, t] = state
        state = state - moves[t, rows, state - lowest]
    return state


def _spans(states: NDArray[np.int64], num_labels: int) -> list[Span]:
    """Return the frames of each label on one path, whose states never fall."""
    label_states = 2 * np.arange(num_labels) + 1
    starts = np.searchsorted(states, label_states, side="left")
    ends = np.searchsorted(states, label_states, side="right")
    return [(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]
