"""What a decoder returns: a label sequence, its text, its score and its words in time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from ctcasr.alphabet import Alphabet


class Times(StrEnum):
    """Where the times of words come from."""

    CTC = "ctc"
    """The frames of a path."""
    ATTENTION = "attention"
    """The frames that the decoder looked at."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a hypothesis.

    Attributes:
        text: the word.
        start: its first encoder frame.
        end: its last encoder frame + 1.
        confidence: posterior probability in 0..1; None where none was computed.
    """

    text: str
    start: int
    end: int
    confidence: float | None = None


def _no_language_model() -> None:
    return None


@dataclass(frozen=True)
class Hypothesis:
    """One label sequence that a decoder proposes.

    Attributes:
        labels: label ids, without blanks.
        text: what they spell.
        log_prob: the natural log of the score by which hypotheses are ranked.
        ctc_log_prob: the part of it that comes from the CTC output; with attention beside it, the
            log-probability of all paths before its weight; 0 where CTC took no part.
        confidence: the search's posterior probability of the whole text, in 0..1; None where none
            was computed.
        others_at_most: no other label sequence has a log-probability above this, to within
            rounding; None without a certificate.
        find_words: gives `words` when first asked for them.
        find_lm_log_prob: gives `lm_log_prob` when first asked for it.
        attention_log_prob: of the labels and their end by the attention decoder; None without one.
        times: where those of `words` come from.
        is_cut: whether the text was as long as a text may be, and ended for that.
    """

    labels: tuple[int, ...]
    text: str
    log_prob: float
    ctc_log_prob: float
    find_words: Callable[[], tuple[Word, ...]] = field(repr=False, compare=False)
    confidence: float | None = None
    others_at_most: float | None = None
    attention_log_prob: float | None = None
    times: Times = Times.CTC
    is_cut: bool = False
    find_lm_log_prob: Callable[[], float | None] = field(
        default=_no_language_model, repr=False, compare=False
    )

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The words with their times; all of `text` but its spaces."""
        return self.find_words()

    @cached_property
    def lm_log_prob(self) -> float | None:
        """What the language model alone gives the text, before its weight; None without one."""
        return self.find_lm_log_prob()

    @property
    def is_proven(self) -> bool:
        """Whether it is certain that no other label sequence is more probable.

        More probable by more than rounding, that is: 1e-10 nats.
        """
        return self.others_at_most is not None and self.others_at_most <= self.log_prob


def words_in_time(
    alphabet: Alphabet,
    labels: Sequence[int],
    spans: Sequence[tuple[int, int]],
    confidences: Sequence[float] | None = None,
) -> tuple[Word, ...]:
    """Return the words of `labels`, timed by the frames [start, end) of each label."""
    return tuple(
        Word(
            text,
            start=spans[first][0],
            end=spans[stop - 1][1],
            confidence=None if confidences is None else confidences[at],
        )
        for at, (text, first, stop) in enumerate(alphabet.word_spans(labels))
    )
