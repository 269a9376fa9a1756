"""Beam search over a model that writes label by label, with CTC asked along the way.

Each step reads one more label after every hypothesis of the beam. What a hypothesis g scores is

    (1 - w) * ln p_attention(g)  +  w * ln p_CTC(texts that begin with g)  +  what g is worth

in nats, where w is `ctc_weight`; with its end, p_CTC is that of g as the whole text. At w = 0 it is
a plain attention beam; between 0 and 1, one-pass joint decoding, where CTC keeps attention from
running in circles or stopping early, and attention knows what CTC cannot. A context (context.py)
says what prefixes are worth: language models, lexicon and hotwords, as in the CTC search.

The beam holds hypotheses of one length, and those that end in the next step compete for its places.
Whole texts are ranked by their score over (labels + 1) ** `length_power`. The search ends where

    - no hypothesis is left, or
    - as many texts have ended as the beam has places, and no hypothesis can rank above them, or
    - the texts are as long as they may be: all that is left ends there, and is marked as cut.

So it ends for any model, one that never writes the end among them. Utterances are searched side by
side: all their hypotheses are one call of the model. NumPy only; no torch.

tests/test_decoding_attention_search.py holds it against exhaustive search.

Source: Watanabe et al. 2017, "Hybrid CTC/attention architecture for end-to-end speech recognition",
section III; Wu et al. 2016, arXiv:1609.08144, section 7 (length normalisation).
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ctcasr.decoding.context import PrefixContext
from ctcasr.decoding.ctc_prefix_score import CtcPrefixScorer

Labels = tuple[int, ...]
_ALWAYS_ALLOWED = 10
"""Labels that even the shortest recording may have."""


class LabelModel(Protocol):
    """A model of some utterances that is asked step by step; V symbols, and the end as column V."""

    def begin(self) -> tuple[Any, NDArray[np.float64]]:
        """Return a state with B rows, one for each utterance, and (B, V + 1) natural logs."""

    def step(
        self, state: Any, rows: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> tuple[Any, NDArray[np.float64]]:
        """Read (N,) labels, each after a row of the state; return N rows and (N, V + 1) logs."""

    def look(self, labels: Sequence[int], *, recording: int) -> NDArray[np.float64]:
        """Return (U + 1, T) where it looks for each label of an utterance, and for its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamRules:
    """What a search drops, and how it ranks.

    Attributes:
        blank: column of the CTC blank, which is never written.
        beam: hypotheses kept in each step.
        threshold: those with less than this share of the best one's score are dropped; 0 keeps all
            that the beam has room for.
        ctc_weight: w, from 0 to 1.
        length_power: 0 ranks texts by their score, 1 by their score per label.
    """

    blank: int
    beam: int
    threshold: float = 0.0
    ctc_weight: float = 0.0
    length_power: float = 0.0


def most_labels(num_frames: int, *, per_frame: float = 1.0) -> int:
    """Return how long a text may be: so many labels per frame, and a few more."""
    return _ALWAYS_ALLOWED + math.ceil(per_frame * num_frames)


@dataclass(frozen=True, slots=True)
class Written:
    """A text that the search ended with.

    Attributes:
        labels: without blanks.
        log_prob: by which texts are ranked: `score`, normalised by length.
        score: see the head of this file.
        attention_log_prob: of the labels and their end.
        ctc_log_prob: of all paths; None where CTC took no part.
        is_cut: whether it was as long as a text may be, and ended for that.
    """

    labels: Labels
    log_prob: float
    score: float
    attention_log_prob: float
    ctc_log_prob: float | None
    is_cut: bool


def search_with_attention(
    model: LabelModel,
    rules: BeamRules,
    *,
    longest: Sequence[int],
    ctc: CtcPrefixScorer | None = None,
    context: PrefixContext | None = None,
) -> list[list[Written]]:
    """Return the texts found for each utterance, best first, at most as many as the beam.

    Args:
        model: of the utterances.
        rules: see there.
        longest: the most labels that the text of each may have.
        ctc: of the same utterances; needed where `ctc_weight` is above 0.
        context: what prefixes are worth; None where all are worth the same.
    """
    assert ctc is not None or rules.ctc_weight == 0
    beams = [_Beam(rules, context, most, has_ctc=ctc is not None) for most in longest]
    masses = ctc.begin() if ctc is not None else None
    state, log_probs = model.begin()
    while True:
        prefix_scores = None
        if ctc is not None and masses is not None:
            prefix_scores = ctc.scores(masses)
        if context is not None:
            context.prepare([one for beam in beams for one in beam.states])
        rows: list[NDArray[np.int64]] = []
        labels: list[NDArray[np.int64]] = []
        first = 0
        for beam in beams:
            stop = first + beam.size
            asked = None if prefix_scores is None else prefix_scores[first:stop]
            parents, chosen = beam.grow(log_probs[first:stop], asked)
            rows.append(parents + first)
            labels.append(chosen)
            first = stop
        kept, read = np.concatenate(rows), np.concatenate(labels)
        if not len(kept):
            return [beam.ended for beam in beams]
        if ctc is not None and masses is not None:
            masses = ctc.advance(masses, kept, read)
        state, log_probs = model.step(state, kept, read)


class _Beam:
    """The hypotheses of one utterance.

    Args:
        rules, context: of the search.
        longest: the most labels that the text may have.
        has_ctc: whether CTC is asked.
    """

    def __init__(
        self, rules: BeamRules, context: PrefixContext | None, longest: int, *, has_ctc: bool
    ) -> None:
        self.ended: list[Written] = []
        """Whole texts, best first."""
        self.states: list[Any] = [context.start() if context else None]
        """Of the context, one for each hypothesis."""
        self._rules = rules
        self._context = context
        self._longest = longest
        self._prefixes: list[Labels] = [()]
        self._attention = np.zeros(1)
        self._ctc = np.zeros(1) if has_ctc else None
        self._worth = np.zeros(1)

    @property
    def size(self) -> int:
        """K, the hypotheses that are not at their end."""
        return len(self._prefixes)

    def grow(
        self, log_probs: NDArray[np.float64], prefix_scores: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Go on by one label.

        Args:
            log_probs: (K, V + 1) natural logs of what follows each hypothesis.
            prefix_scores: (K, V + 1) of CTC for the hypotheses with it; None without CTC.

        Returns:
            (K',) which hypothesis each of the new ones goes on from, and (K',) by which label.
        """
        nothing = np.zeros(0, dtype=np.int64)
        if not self.size:
            return nothing, nothing
        attention = self._attention[:, None] + log_probs
        scores = self._mix(attention, prefix_scores) + self._worth[:, None]
        scores[:, self._rules.blank] = -np.inf
        end = scores.shape[1] - 1
        is_last = len(self._prefixes[0]) >= self._longest
        if is_last:
            scores[:, :end] = -np.inf
        chosen = self._choose(scores)
        if not chosen:
            self._close(attention, prefix_scores)
            return nothing, nothing
        grown = []
        for row, label, score, worth, state in self._above_the_floor(chosen):
            if label == end:
                self._end(row, score, attention, prefix_scores, is_cut=is_last)
            else:
                grown.append((row, label, score, worth, state))
        least = self._least_that_counts()
        grown = [one for one in grown if self._most_to_come(one[2]) > least]
        parents = np.array([row for row, *_ in grown], dtype=np.int64)
        labels = np.array([label for _, label, *_ in grown], dtype=np.int64)
        self._prefixes = [(*self._prefixes[row], label) for row, label, *_ in grown]
        self._attention = attention[parents, labels]
        if prefix_scores is not None:
            self._ctc = prefix_scores[parents, labels]
        self._worth = np.array([worth for *_, worth, _ in grown])
        self.states = [state for *_, state in grown]
        return parents, labels

    def _mix(
        self, attention: NDArray[np.float64], ctc: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """Return (K, V + 1) what attention and CTC say together."""
        weight = self._rules.ctc_weight
        if ctc is None or weight == 0:
            return attention.copy()
        if weight == 1:
            return ctc.copy()
        return (1 - weight) * attention + weight * ctc

    def _choose(self, scores: NDArray[np.float64]) -> list[tuple[int, int, float, float, Any]]:
        """Return the best ways to go on: row, label or end, score, worth so far, state.

        A context is asked for those alone that may be among the best: more than `gain` no label can
        be worth.

        Args:
            scores: (K, V + 1) with what the hypotheses are worth so far.
        """
        beam, width = self._rules.beam, scores.shape[1]
        if self._context is None:
            flat = scores.ravel()
            best = np.argsort(-flat, kind="stable")[:beam]
            return [
                (int(at) // width, int(at) % width, float(flat[at]), 0.0, None)
                for at in best
                if flat[at] > -np.inf
            ]
        gains = np.array([self._context.gain(state) for state in self.states])
        ends = np.array([self._context.finish(state) for state in self.states])
        most = scores + gains[:, None]
        most[:, -1] = scores[:, -1] + ends
        flat = most.ravel()
        found: list[tuple[float, int, int, int, float, Any]] = []
        for order, at in enumerate(np.argsort(-flat, kind="stable")):
            if flat[at] == -np.inf or (len(found) >= beam and -flat[at] >= found[beam - 1][0]):
                break
            row, label = int(at) // width, int(at) % width
            state, worth, score = None, float(self._worth[row]), float(flat[at])
            if label < width - 1:
                state, more = self._context.extend(self.states[row], label)
                worth, score = worth + more, float(scores[row, label]) + more
            if score > -np.inf:
                bisect.insort(
                    found, (-score, order, row, label, worth, state), key=lambda one: one[:2]
                )
        return [
            (row, label, -negative, worth, state)
            for negative, _, row, label, worth, state in found[:beam]
        ]

    def _above_the_floor(
        self, chosen: list[tuple[int, int, float, float, Any]]
    ) -> list[tuple[int, int, float, float, Any]]:
        """Return those that are not too far below the best."""
        if self._rules.threshold == 0:
            return chosen
        best = max([chosen[0][2], *(one.score for one in self.ended)])
        floor = best + math.log(self._rules.threshold)
        return [one for one in chosen if one[2] > floor]

    def _end(
        self,
        row: int,
        score: float,
        attention: NDArray[np.float64],
        prefix_scores: NDArray[np.float64] | None,
        *,
        is_cut: bool,
    ) -> None:
        """Let a hypothesis end, and keep as many as the beam has places."""
        labels = self._prefixes[row]
        one = Written(
            labels=labels,
            log_prob=score / (len(labels) + 1) ** self._rules.length_power,
            score=score,
            attention_log_prob=float(attention[row, -1]),
            ctc_log_prob=None if prefix_scores is None else float(prefix_scores[row, -1]),
            is_cut=is_cut,
        )
        bisect.insort(self.ended, one, key=lambda other: -other.log_prob)
        del self.ended[self._rules.beam :]

    def _close(
        self, attention: NDArray[np.float64], prefix_scores: NDArray[np.float64] | None
    ) -> None:
        """End where nothing may follow: with what stands there, if nothing has ended before."""
        if not self.ended:
            scores = self._mix(self._attention, self._ctc) + self._worth
            for row, score in enumerate(scores):
                self._end(row, float(score), attention, prefix_scores, is_cut=True)
        self._prefixes, self.states = [], []

    def _least_that_counts(self) -> float:
        """Return what a text must rank above to be among those returned."""
        full = len(self.ended) >= self._rules.beam
        return self.ended[-1].log_prob if full else -math.inf

    def _most_to_come(self, score: float) -> float:
        """Return the most that a text which begins so can rank at; scores fall with each label."""
        if self._context is not None or score > 0:
            return math.inf
        longest: float = (self._longest + 1) ** self._rules.length_power
        return score / longest


def score_texts(model: LabelModel, texts: Sequence[Sequence[Labels]]) -> list[list[float]]:
    """Return the natural log of what a model gives to known texts, their ends included.

    Args:
        model: of some utterances.
        texts: of each of them, the labels of any number of texts.
    """
    known = [(utterance, labels) for utterance, some in enumerate(texts) for labels in some]
    scores = np.zeros(len(known))
    state, log_probs = model.begin()
    rows = np.array([utterance for utterance, _ in known], dtype=np.int64)
    under_way = np.arange(len(known))
    place = 0
    while len(under_way):
        is_over = np.array([len(known[at][1]) == place for at in under_way])
        scores[under_way[is_over]] += log_probs[rows[is_over], -1]
        under_way, rows = under_way[~is_over], rows[~is_over]
        if len(under_way):
            labels = np.array([known[at][1][place] for at in under_way], dtype=np.int64)
            scores[under_way] += log_probs[rows, labels]
            state, log_probs = model.step(state, rows, labels)
            rows = np.arange(len(under_way))
        place += 1
    of_each = iter(scores.tolist())
    return [[next(of_each) for _ in some] for some in texts]
