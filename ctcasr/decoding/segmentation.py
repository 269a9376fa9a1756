"""Long recordings in segments: cut where nobody speaks, searched one by one, joined again.

A search over hours would end with texts that differ in a word here and there, and know little of
each. A frame that is blank for certain parts the paths before it from those after it, so that
cutting there costs next to nothing: the log-probability lost is that of blank in that frame (the
sections of Graves 2006 rest on the same fact). Of such frames, those in the middle of pauses
between two words of the best path are taken.

Source: Graves et al. 2006, "Connectionist Temporal Classification", section 3.2.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ctcasr.alphabet import Alphabet
from ctcasr.decoding.greedy import best_path
from ctcasr.decoding.hypothesis import Hypothesis, Word
from ctcasr.decoding.log_probs import LogProbs

LONG_SECONDS = 60.0
"""Recordings up to here are searched as a whole."""
PAUSE_SECONDS = 0.5
"""So long must everything be blank for a cut."""
MOST_SECONDS = 30.0
"""A longer segment is cut at its longest pause, even one that is shorter than that."""

_CERTAIN = 0.999  # probability of blank
_FEWEST_SECONDS = 1.0  # of a segment

Frames = tuple[int, int]


def cut_at_pauses(log_probs: LogProbs, alphabet: Alphabet, *, frame_s: float) -> list[Frames]:
    """Return segments [start, end) that cover all frames, in order; one where there is no pause.

    Args:
        log_probs: (T, V) natural logs.
        alphabet: of the V columns.
        frame_s: seconds from one frame to the next.
    """
    num_frames = len(log_probs)
    pauses = list(_pauses(log_probs, alphabet))
    cuts = [0]
    for start, end in pauses:
        middle = (start + end) // 2
        is_long = (end - start) * frame_s >= PAUSE_SECONDS
        if is_long and min(middle - cuts[-1], num_frames - middle) * frame_s >= _FEWEST_SECONDS:
            cuts.append(middle)
    segments = zip(cuts, [*cuts[1:], num_frames], strict=True)
    return [part for segment in segments for part in _shorten(segment, pauses, frame_s)]


def _pauses(log_probs: LogProbs, alphabet: Alphabet) -> Iterator[Frames]:
    """Yield the longest stretch of certain blank between each two words of the best path.

    A network may give the last label of a word long after the others, so that not every pause
    between labels is one between words.
    """
    words = best_path(log_probs, alphabet).words
    certain = np.asarray(log_probs[:, alphabet.blank]) >= np.log(_CERTAIN)
    for before, after in pairwise(words):
        runs = _runs(certain[before.end : after.start])
        if runs:
            first, stop = max(runs, key=lambda run: run[1] - run[0])
            yield before.end + first, before.end + stop


def _runs(mask: NDArray[np.bool_]) -> list[Frames]:
    """Return the stretches [start, end) in which a mask holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _shorten(segment: Frames, pauses: Sequence[Frames], frame_s: float) -> Iterator[Frames]:
    """Cut a segment at its longest pauses until its parts are short enough, or have none."""
    start, end = segment
    fewest = max(1, round(_FEWEST_SECONDS / frame_s))
    if (end - start) * frame_s > MOST_SECONDS:
        inside = [run for run in pauses if start + fewest <= sum(run) // 2 <= end - fewest]
        if inside:
            first, stop = max(inside, key=lambda run: run[1] - run[0])
            cut = (first + stop) // 2
            yield from _shorten((start, cut), pauses, frame_s)
            yield from _shorten((cut, end), pauses, frame_s)
            return
    yield segment


def join_hypotheses(
    alphabet: Alphabet, segments: Sequence[Frames], found: Sequence[Sequence[Hypothesis]]
) -> list[Hypothesis]:
    """Return hypotheses of the whole from those of its segments, best first.

    Args:
        alphabet: of the labels.
        segments: [start, end) of each.
        found: of each, best first; as many are returned as the longest of these lists has, the
            best sums of scores over all segments.
    """
    count = max(map(len, found))
    chosen: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for hypotheses in found:
        sums = [
            (score + one.log_prob, (*ranks, rank))
            for score, ranks in chosen
            for rank, one in enumerate(hypotheses)
        ]
        chosen = sorted(sums, key=lambda item: (-item[0], item[1]))[:count]
    starts = [start for start, _ in segments]
    return [
        _join(alphabet, starts, [one[rank] for one, rank in zip(found, ranks, strict=True)])
        for _, ranks in chosen
    ]


def _join(alphabet: Alphabet, starts: Sequence[int], parts: Sequence[Hypothesis]) -> Hypothesis:
    labels: tuple[int, ...] = ()
    space = _space(alphabet)
    for part in parts:
        own = _strip(part.labels, space)
        labels += (space if labels and own else ()) + own
    sure = [part.confidence for part in parts if part.confidence is not None]
    return Hypothesis(
        labels=labels,
        text=alphabet.decode(labels),
        log_prob=sum(part.log_prob for part in parts),
        ctc_log_prob=sum(part.ctc_log_prob for part in parts),
        find_lm_log_prob=lambda: _sum_of([part.lm_log_prob for part in parts]),
        attention_log_prob=_sum_of([part.attention_log_prob for part in parts]),
        times=max(part.times for part in parts),
        is_cut=any(part.is_cut for part in parts),
        confidence=float(np.prod(sure)) if len(sure) == len(parts) else None,
        find_words=_words_of(starts, parts),
    )


def _sum_of(log_probs: Sequence[float | None]) -> float | None:
    """Return the sum of what is known of each part; None where it is not known of all."""
    known = [one for one in log_probs if one is not None]
    return sum(known) if len(known) == len(log_probs) else None


def _words_of(starts: Sequence[int], parts: Sequence[Hypothesis]) -> Callable[[], tuple[Word, ...]]:
    def find() -> tuple[Word, ...]:
        return tuple(
            Word(word.text, start + word.start, start + word.end, word.confidence)
            for start, part in zip(starts, parts, strict=True)
            for word in part.words
        )

    return find


def _space(alphabet: Alphabet) -> tuple[int, ...]:
    """Return the labels between two words that are written one after another."""
    return alphabet.encode(" ") if " " in alphabet.labels else ()


def _strip(labels: tuple[int, ...], space: tuple[int, ...]) -> tuple[int, ...]:
    if not space:
        return labels
    start, end = 0, len(labels)
    while start < end and labels[start] == space[0]:
        start += 1
    while end > start and labels[end - 1] == space[0]:
        end -= 1
    return labels[start:end]
