"""The attention decoder's search: settings once, then models in and hypotheses out.

Which of the two, attention and CTC, proposes texts, and which has a say in the end:

    both         attention_search.py asks CTC along the way: one-pass joint decoding
    attention    the attention beam proposes, and its texts are weighed by both
    ctc          the prefix beam proposes, and its texts are weighed by both

A model without CTC, or `ctc_weight` 0, leaves attention alone. What language model, lexicon and
hotwords are worth stands in context.py, as for the prefix beam; hypotheses are of the same kind.
No torch.

Source: Watanabe et al. 2017, "Hybrid CTC/attention architecture for end-to-end speech recognition",
section III-C (one-pass decoding and rescoring).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Any

from ctcasr.alphabet import Alphabet, frames_needed
from ctcasr.decoding.align import align_all
from ctcasr.decoding.attention_search import (
    BeamRules,
    LabelModel,
    Labels,
    Written,
    most_labels,
    score_texts,
    search_with_attention,
)
from ctcasr.decoding.attention_times import monotone_frames
from ctcasr.decoding.backend import answer_fast
from ctcasr.decoding.confidence import posteriors, word_confidences
from ctcasr.decoding.ctc_prefix_score import CtcPrefixScorer
from ctcasr.decoding.hypothesis import Hypothesis, Times, Word, words_in_time
from ctcasr.decoding.log_probs import LogProbs
from ctcasr.decoding.prefix_beam import PrefixBeamDecoder, Rescore
from ctcasr.decoding.search import Found
from ctcasr.decoding.worth import make_worth


class Proposer(StrEnum):
    """Which part of a model proposes texts."""

    BOTH = "both"
    ATTENTION = "attention"
    CTC = "ctc"


class AttentionBeamDecoder:
    """A search over an attention decoder's texts with its settings; call it with models.

    Args:
        alphabet: of the labels.
        proposer: see the head of this file.
        beam: how many hypotheses are kept for each item.
        threshold: hypotheses with less than this share of the best one's score are dropped.
        ctc_weight: share of CTC in the score, from 0 to 1.
        length_power: 0 ranks texts by their score, 1 by their score per label.
        labels_per_frame: a text may have so many labels per frame, and a few more; longer ones are
            cut there and marked.
        nbest: most hypotheses returned.
        confidence: whether to compute the posterior of texts and words.
        temperature: scores are divided by it before posteriors are taken of them.
        rescore: says what whole texts are worth, in nats, once the search has ended.
        **words: `lm`, `lexicon`, `hotwords` and their weights, as `PrefixBeamDecoder` has them.

    Raises:
        ValueError: a setting is out of range, or two do not go together.
        LanguageModelError, LexiconError, HotwordError: see their readers.
    """

    def __init__(
        self,
        alphabet: Alphabet,
        *,
        proposer: Proposer = Proposer.BOTH,
        beam: int = 8,
        threshold: float = 1e-6,
        ctc_weight: float = 0.3,
        length_power: float = 0.5,
        labels_per_frame: float = 1.0,
        nbest: int = 1,
        confidence: bool = True,
        temperature: float = 1.0,
        rescore: Rescore | None = None,
        **words: Any,
    ) -> None:
        if not 0.0 <= ctc_weight <= 1.0:
            raise ValueError(f"ctc_weight is {ctc_weight}; give a share from 0 to 1")
        self.alphabet = alphabet
        self._proposer = proposer
        self._worth = make_worth(alphabet, **words)
        self._context = answer_fast(self._worth.context)
        self._rules = BeamRules(
            blank=alphabet.blank,
            beam=beam,
            threshold=threshold,
            ctc_weight=ctc_weight if proposer is Proposer.BOTH else 0.0,
            length_power=length_power,
        )
        self._paths: PrefixBeamDecoder | None = None
        if proposer is Proposer.CTC:
            self._paths = PrefixBeamDecoder(
                alphabet, beam=beam, threshold=threshold, confidence=False, **words
            )
        self._ctc_weight = ctc_weight
        self._labels_per_frame = labels_per_frame
        self._nbest = nbest
        self._confidence = confidence
        self._temperature = temperature
        self._rescore = rescore

    def __call__(
        self,
        model: LabelModel,
        num_frames: Sequence[int],
        log_probs: Sequence[LogProbs] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return hypotheses of each item, best first.

        Args:
            model: the attention decoder over the items.
            num_frames: T of each, at least 1.
            log_probs: (T, V) natural logs of each by CTC; None of a model without.

        Returns:
            Hypotheses with distinct labels. Word times come from a forced alignment by CTC, or from
            where attention looked if there is none.
        """
        found = self._propose(model, num_frames, log_probs)
        if self._rescore is not None:
            found = [self._weigh_texts(some, self._rescore) for some in found]
        best = [some[: self._nbest] for some in found]
        if log_probs is not None and self._ctc_weight == 0:
            best = self._ask_ctc(best, log_probs)
        return [
            self._finish(model, number, *some, None if log_probs is None else log_probs[number])
            for number, some in enumerate(zip(best, found, strict=True))
        ]

    @property
    def unwritten_words(self) -> tuple[str, ...]:
        """See `PrefixBeamDecoder.unwritten_words`."""
        return self._worth.unwritten_words

    def score(
        self,
        model: LabelModel,
        texts: Sequence[Sequence[Labels]],
        log_probs: Sequence[LogProbs] | None = None,
    ) -> list[list[float]]:
        """Return what known texts of each item score, as the search ranks them."""
        written = self._weigh(model, texts, log_probs)
        if self._rescore is not None:
            written = [self._weigh_texts(some, self._rescore, sort=False) for some in written]
        return [[one.log_prob for one in some] for some in written]

    def _propose(
        self,
        model: LabelModel,
        num_frames: Sequence[int],
        log_probs: Sequence[LogProbs] | None,
    ) -> list[list[Written]]:
        if self._paths is not None:
            assert log_probs is not None
            texts = [[one.labels for one in self._paths(item)] for item in log_probs]
            return [_sorted(some) for some in self._weigh(model, texts, log_probs)]
        longest = [most_labels(count, per_frame=self._labels_per_frame) for count in num_frames]
        asks_ctc = self._rules.ctc_weight > 0 and log_probs is not None
        found = search_with_attention(
            model,
            self._rules,
            longest=longest,
            ctc=CtcPrefixScorer(log_probs or [], blank=self._rules.blank) if asks_ctc else None,
            context=self._context,
        )
        if self._proposer is Proposer.BOTH or self._ctc_weight == 0 or log_probs is None:
            return found
        return [_sorted(some) for some in self._ask_ctc(found, log_probs)]

    def _weigh(
        self,
        model: LabelModel,
        texts: Sequence[Sequence[Labels]],
        log_probs: Sequence[LogProbs] | None,
    ) -> list[list[Written]]:
        """Return known texts with their scores."""
        found = [
            [
                self._ranked(
                    Written(labels, 0.0, 0.0, attention, None, is_cut=False),
                    attention + self._worth.of(labels),
                )
                for labels, attention in zip(some, mine, strict=True)
            ]
            for some, mine in zip(texts, score_texts(model, texts), strict=True)
        ]
        if self._ctc_weight == 0 or log_probs is None:
            return found
        return self._ask_ctc(found, log_probs)

    def _ask_ctc(
        self, found: Sequence[Sequence[Written]], log_probs: Sequence[LogProbs]
    ) -> list[list[Written]]:
        """Return texts that attention has weighed, with CTC's share of the scores in place."""
        scorer = CtcPrefixScorer(log_probs, blank=self._rules.blank)
        scores = scorer.text_scores([[one.labels for one in some] for some in found])
        return [
            [self._with_ctc(one, ctc) for one, ctc in zip(some, mine, strict=True)]
            for some, mine in zip(found, scores, strict=True)
        ]

    def _with_ctc(self, one: Written, ctc: float) -> Written:
        weight, worth = self._ctc_weight, one.score - one.attention_log_prob
        if weight > 0:
            score = worth + (1 - weight) * one.attention_log_prob + weight * ctc
            one = self._ranked(one, score)
        return replace(one, ctc_log_prob=ctc)

    def _ranked(self, one: Written, score: float) -> Written:
        length = (len(one.labels) + 1) ** self._rules.length_power
        return replace(one, score=score, log_prob=score / length)

    def _weigh_texts(
        self, found: Sequence[Written], rescore: Rescore, *, sort: bool = True
    ) -> list[Written]:
        """Return texts with what they are worth as a whole."""
        worths = rescore([self.alphabet.decode(one.labels) for one in found])
        weighed = [
            self._ranked(one, one.score + worth) for one, worth in zip(found, worths, strict=True)
        ]
        return _sorted(weighed) if sort else weighed

    def _finish(
        self,
        model: LabelModel,
        number: int,
        best: Sequence[Written],
        written: Sequence[Written],
        log_probs: LogProbs | None,
    ) -> list[Hypothesis]:
        """Return the best of what the search has written, with what a user may ask of them."""
        found = [Found(one.labels, one.score, one.ctc_log_prob or 0.0) for one in written]
        shares = posteriors(found, self._temperature) if self._confidence else None
        hypotheses = []
        for rank, one in enumerate(best):
            is_aligned = log_probs is not None and _can_be_aligned(one, log_probs)
            times = Times.CTC if is_aligned else Times.ATTENTION
            find = partial(
                self._find_words, model, number, log_probs if is_aligned else None, one.labels
            )
            hypotheses.append(
                Hypothesis(
                    labels=one.labels,
                    text=self.alphabet.decode(one.labels),
                    log_prob=one.log_prob,
                    ctc_log_prob=one.ctc_log_prob or 0.0,
                    find_lm_log_prob=partial(self._worth.lm_log_prob, one.labels),
                    attention_log_prob=one.attention_log_prob,
                    confidence=None if shares is None else shares[rank],
                    find_words=partial(find, found, shares),
                    times=times,
                    is_cut=one.is_cut,
                )
            )
        return hypotheses

    def _find_words(
        self,
        model: LabelModel,
        number: int,
        log_probs: LogProbs | None,
        labels: Labels,
        found: Sequence[Found],
        shares: Sequence[float] | None,
    ) -> tuple[Word, ...]:
        """Return the words of one text, with their times and confidences."""
        if log_probs is not None:
            spans = align_all(log_probs, [labels], blank=self.alphabet.blank)[0]
        else:
            frames = monotone_frames(model.look(labels, recording=number)[: len(labels)])
            spans = [(frame, frame + 1) for frame in frames]
        if shares is None:
            return words_in_time(self.alphabet, labels, spans)
        confidences = word_confidences(self.alphabet, labels, found, shares)
        return words_in_time(self.alphabet, labels, spans, confidences)


def _sorted(written: Sequence[Written]) -> list[Written]:
    return sorted(written, key=lambda one: -one.log_prob)


def _can_be_aligned(one: Written, log_probs: LogProbs) -> bool:
    fits = frames_needed(one.labels) <= len(log_probs)
    return fits and one.ctc_log_prob != -math.inf
