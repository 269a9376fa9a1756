"""What a decoder returns: a label sequence, its text, its score and its words in time."""

from collections.abc import Sequence
from dataclasses import dataclass

from ctcasr.alphabet import Alphabet


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


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One label sequence that a decoder proposes.

    Attributes:
        labels: label ids, without blanks.
        text: what they spell.
        log_prob: the natural log of the score by which hypotheses are ranked.
        ctc_log_prob: the part of it that comes from the CTC output.
        lm_log_prob: the part that comes from a language model; None where none took part.
        words: the words with their times; all of `text` but its spaces.
    """

    labels: tuple[int, ...]
    text: str
    log_prob: float
    ctc_log_prob: float
    lm_log_prob: float | None
    words: tuple[Word, ...]


def words_in_time(
    alphabet: Alphabet, labels: Sequence[int], spans: Sequence[tuple[int, int]]
) -> tuple[Word, ...]:
    """Return the words of `labels`, timed by the frames [start, end) of each label."""
    return tuple(
        Word(text, start=spans[first][0], end=spans[stop - 1][1])
        for text, first, stop in alphabet.word_spans(labels)
    )
