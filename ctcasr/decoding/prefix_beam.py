"""The prefix beam decoder: settings once, then log-probabilities in and hypotheses out.

    decoder = PrefixBeamDecoder(labels, beam=64, lm="words.arpa", alpha=0.6, beta=0.5)
    best = decoder(log_probs)[0]
    best.text, best.log_prob, best.words[0].start

How it searches stands in search.py, what language model, lexicon and hotwords are worth in
context.py. The networks may be anybody's: all that is asked for are natural-log probabilities and
the labels of their columns. No torch.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np

from ctcasr.alphabet import Alphabet
from ctcasr.decoding.align import align_all
from ctcasr.decoding.backend import Outcome, Stream, make_searcher
from ctcasr.decoding.confidence import posteriors, word_confidences
from ctcasr.decoding.context import LmUnit
from ctcasr.decoding.fusion import StepModel
from ctcasr.decoding.hypothesis import Hypothesis, Word, words_in_time
from ctcasr.decoding.log_probs import (
    LogProbs,
    check_batch,
    check_log_probs,
    to_alphabet,
    to_array,
)
from ctcasr.decoding.ngram import NgramModel
from ctcasr.decoding.search import Found, Pruning
from ctcasr.decoding.worth import make_worth

_LARGEST_COUNT = 2**31 - 1  # what the C++ search counts to

Rescore = Callable[[Sequence[str]], Sequence[float]]
"""Texts -> the nats that each is worth, beside what the search has said of it."""


class PrefixBeamDecoder:
    """A prefix beam search with its settings; call it with log-probabilities.

    Args:
        labels: an alphabet, or V labels in the order of the columns.
        blank: column of the CTC blank; an alphabet brings its own.
        beam: how many prefixes are kept per frame.
        threshold: prefixes with less than this share of the best one's mass are dropped; 0 keeps
            all that the beam has room for.
        label_threshold: no new prefix is made with a label less probable than this in a frame.
        lm: an n-gram language model, or its ARPA file, which may be gzipped; or a recurrent one,
            with which NumPy searches.
        lm_unit: whether it counts "word"s or "label"s; the space label is then <space>. A recurrent
            one counts labels.
        lexicon: a file with a word a line, or words; see `ctcasr.decoding.lexicon.read_lexicon`.
            Without one the words of `lm` are a soft lexicon.
        open_vocabulary: whether words outside the lexicon may be spelt out; by default they may
            unless `lexicon` is given.
        hotwords: words or phrases to prefer, each with its boost in nats.
        alpha: weight of the language model's natural-log probabilities.
        beta: nats for every word; for every label with a label model. Without language model and
            lexicon it has no effect.
        unknown: nats for every word outside lexicon or language model, at most 0; beside what it
            costs in any case, as `ctcasr.decoding.context` has it.
        nbest: most hypotheses returned; as many as the beam where not given.
        confidence: whether to compute the posterior of texts and words; costs more than a fast
            search does.
        temperature: scores are divided by it before posteriors are taken of them; above 1 makes
            the search less sure of itself.
        certify: whether to weigh everything that was ever in the beam again, exactly, to bound the
            probability of all else, and to look there for something better, so that `is_proven` can
            say that nothing is more probable; a few times the search's own cost, and only without
            language model, lexicon and hotwords.
        rescore: says what whole texts are worth, in nats, once the search has ended; what the beam
            ends with is ordered by both together.
        workers: items of a batch decoded at a time, each in a thread of its own.
        use_core: None takes the C++ search where it is there, False the NumPy one.

    Raises:
        ValueError: a setting is out of range, or two do not go together.
        LanguageModelError, LexiconError, HotwordError: see their readers.
    """

    def __init__(
        self,
        labels: Alphabet | Sequence[str],
        *,
        blank: int = 0,
        beam: int = 16,
        threshold: float = 1e-6,
        label_threshold: float = 0.0,
        lm: NgramModel | StepModel | str | Path | None = None,
        lm_unit: LmUnit | str = LmUnit.WORD,
        lexicon: str | Path | Iterable[str] | None = None,
        open_vocabulary: bool | None = None,
        hotwords: Mapping[str, float] | None = None,
        alpha: float = 0.5,
        beta: float = 0.0,
        unknown: float = 0.0,
        nbest: int | None = None,
        confidence: bool = True,
        temperature: float = 1.0,
        certify: bool = False,
        rescore: Rescore | None = None,
        workers: int = 1,
        use_core: bool | None = None,
    ) -> None:
        _check_counts(beam=beam, nbest=beam if nbest is None else nbest, workers=workers)
        _check_share("threshold", threshold)
        _check_share("label_threshold", label_threshold)
        if not 0.0 < temperature < math.inf:
            raise ValueError(f"temperature is {temperature}; give a number above 0")
        self.alphabet = to_alphabet(labels, blank=blank)
        self._worth = make_worth(
            self.alphabet,
            lm=lm,
            lm_unit=lm_unit,
            lexicon=lexicon,
            open_vocabulary=open_vocabulary,
            hotwords=hotwords,
            alpha=alpha,
            beta=beta,
            unknown=unknown,
        )
        if certify and (self._worth.context is not None or rescore is not None):
            raise ValueError(
                "a certificate bounds the CTC probability alone; leave out lm, lexicon, hotwords "
                "and rescore, or certify"
            )
        pruning = Pruning(
            blank=self.alphabet.blank,
            beam=beam,
            threshold=threshold,
            label_threshold=label_threshold,
        )
        self._searcher = make_searcher(
            pruning, self._worth.context, num_symbols=len(self.alphabet), use_core=use_core
        )
        self._beam = beam
        self._nbest = beam if nbest is None else nbest
        self._confidence = confidence
        self._temperature = temperature
        self._certify = certify
        self._rescore = rescore
        self._workers = workers

    @overload
    def __call__(self, log_probs: Any) -> list[Hypothesis]: ...

    @overload
    def __call__(self, log_probs: Any, lengths: Any) -> list[list[Hypothesis]]: ...

    def __call__(
        self, log_probs: Any, lengths: Any = None
    ) -> list[Hypothesis] | list[list[Hypothesis]]:
        """Return hypotheses, best first, for one item or for each of a batch.

        Args:
            log_probs: natural logs, (T, V), or (B, T, V) with `lengths`; an array or a tensor.
            lengths: (B,) frames that count; what lies beyond is never looked at.

        Returns:
            Hypotheses with distinct labels. `ctc_log_prob` sums all paths, also those that left the
            beam; word times come from a forced alignment. T = 0 gives one empty hypothesis.

        Raises:
            ValueError: the shapes do not fit, the values are no log-probabilities, or nothing that
                the lexicon allows has a probability above zero.
        """
        array = to_array(log_probs)
        num_labels = len(self.alphabet)
        if lengths is None:
            return self._decode([check_log_probs(array, num_labels=num_labels)])[0]
        items = []
        for number, item in enumerate(check_batch(array, lengths)):
            try:
                items.append(check_log_probs(item, num_labels=num_labels))
            except ValueError as error:
                raise ValueError(f"item {number} of the batch: {error}") from error
        return self._decode(items)

    @property
    def unwritten_words(self) -> tuple[str, ...]:
        """Words of the language model that the labels cannot write, so that they are never found.

        Empty where a lexicon chooses the words.
        """
        return self._worth.unwritten_words

    def worth(self, labels: Sequence[int]) -> float:
        """Return what a whole label sequence is worth beyond its CTC log-probability, in nats.

        Language model, lexicon, hotwords and rescoring together, as they are added up; minus
        infinity where the lexicon forbids it.
        """
        total = self._worth.of(labels)
        if self._rescore is not None and total > -math.inf:
            total += self._rescore([self.alphabet.decode(labels)])[0]
        return total

    def stream(self) -> "StreamingDecoder":
        """Begin a search that is given its frames bit by bit.

        Raises:
            ValueError: the decoder certifies, for which all frames are needed beforehand.
        """
        if self._certify:
            raise ValueError("a certificate needs all frames beforehand; stream without certify")
        return StreamingDecoder(self, self._searcher.stream())

    def _decode(self, items: list[LogProbs]) -> list[list[Hypothesis]]:
        outcomes = self._searcher.decode(
            items,
            count=self._count,
            certify=self._certify,
            workers=self._workers,
        )
        rescored = self._rescore_all(outcomes)
        return [self._finish(item, one) for item, one in zip(items, rescored, strict=True)]

    @property
    def _count(self) -> int:
        """How many label sequences are asked for: for posteriors and rescoring, all there are."""
        return self._beam if self._confidence or self._rescore is not None else self._nbest

    def _rescore_all(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """Return what was found with the worth of whole texts added, best first again."""
        if self._rescore is None:
            return outcomes
        texts = [self.alphabet.decode(one.labels) for outcome in outcomes for one in outcome.found]
        worths = iter(self._rescore(texts))
        rescored = []
        for outcome in outcomes:
            found = [
                replace(one, log_prob=one.log_prob + worth)
                for one, worth in zip(outcome.found, worths, strict=False)
            ]
            found.sort(key=lambda one: -one.log_prob)
            rescored.append(Outcome(tuple(found), outcome.others_at_most))
        return rescored

    def _finish(self, log_probs: LogProbs, outcome: Outcome) -> list[Hypothesis]:
        shares = posteriors(outcome.found, self._temperature) if self._confidence else None
        return [
            self._hypothesis(log_probs, outcome, rank, shares)
            for rank in range(min(self._nbest, len(outcome.found)))
        ]

    def _hypothesis(
        self, log_probs: LogProbs, outcome: Outcome, rank: int, shares: list[float] | None
    ) -> Hypothesis:
        one = outcome.found[rank]
        find_words = partial(
            _find_words, self.alphabet, log_probs, one.labels, outcome.found, shares
        )
        return Hypothesis(
            labels=one.labels,
            text=self.alphabet.decode(one.labels),
            log_prob=one.log_prob,
            ctc_log_prob=one.ctc_log_prob,
            find_lm_log_prob=partial(self._worth.lm_log_prob, one.labels),
            confidence=None if shares is None else shares[rank],
            others_at_most=outcome.others_at_most if rank == 0 else None,
            find_words=find_words,
        )


class StreamingDecoder:
    """A search under way; `PrefixBeamDecoder.stream` makes one.

    However the frames are cut into chunks, `finish` returns what decoding them at once returns, bit
    for bit.
    """

    def __init__(self, decoder: PrefixBeamDecoder, stream: Stream) -> None:
        self._decoder = decoder
        self._stream = stream
        self._chunks: list[LogProbs] = []

    def feed(self, log_probs: Any) -> None:
        """Go on by some frames.

        Args:
            log_probs: (T, V) natural logs; T may be 0.

        Raises:
            ValueError: see `PrefixBeamDecoder.__call__`.
        """
        chunk = check_log_probs(log_probs, num_labels=len(self._decoder.alphabet))
        self._stream.advance(chunk)
        self._chunks.append(chunk.copy())  # the caller may use its buffer again

    @property
    def stable_labels(self) -> tuple[int, ...]:
        """The labels that no further frame can change."""
        return self._stream.stable()

    @property
    def stable_text(self) -> str:
        """What they spell."""
        return self._decoder.alphabet.decode(self.stable_labels)

    @property
    def best(self) -> Hypothesis:
        """The best hypothesis, as if the text ended here."""
        return self.finish()[0]

    def finish(self) -> list[Hypothesis]:
        """Return the hypotheses over all frames so far, best first; more may still be fed."""
        decoder = self._decoder
        empty = np.zeros((0, len(decoder.alphabet)), dtype=np.float32)
        frames: LogProbs = np.concatenate([empty, *self._chunks])
        outcome = Outcome(tuple(self._stream.found(frames, decoder._count)), None)
        return decoder._finish(frames, decoder._rescore_all([outcome])[0])


def _find_words(
    alphabet: Alphabet,
    log_probs: LogProbs,
    labels: tuple[int, ...],
    found: Sequence[Found],
    shares: Sequence[float] | None,
) -> tuple[Word, ...]:
    """Return the words of one label sequence, with their times and confidences."""
    spans = align_all(log_probs, [labels], blank=alphabet.blank)[0]
    if shares is None:
        return words_in_time(alphabet, labels, spans)
    confidences = word_confidences(alphabet, labels, found, shares)
    return words_in_time(alphabet, labels, spans, confidences)


def _check_counts(**counts: Any) -> None:
    for name, count in counts.items():
        if not isinstance(count, int | np.integer):
            raise ValueError(f"{name} is {count!r}; give a whole number")
        if count < 1:
            raise ValueError(f"{name} is {count}; give at least 1")
        if count > _LARGEST_COUNT:
            raise ValueError(f"{name} is {count}; give at most {_LARGEST_COUNT}")


def _check_share(name: str, share: float) -> None:
    if not 0.0 <= share < 1.0 or math.isnan(share):
        raise ValueError(f"{name} is {share}; give a share from 0 (exact) to below 1")
