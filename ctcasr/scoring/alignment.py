"""Minimum-cost alignment of two token lists: which token was said for which.

Levenshtein costs count every error alike; jiwer aligns (rapidfuzz underneath). NIST's weigh them: a
substitution costs 4, a deletion or insertion 3, so a hit plus two errors (6) is preferred to two
substitutions (8). Tokens are any strings, spaces among them.

Where several alignments cost the same, NIST's is the one that sclite chooses. It walks back from
the end of both texts and takes, at each step, the first of these that lies on a cheapest way:
a hit or substitution, an insertion, a deletion. This decides the counts as well: "a a b" heard as
"b c c" costs 12 as three substitutions, which is what is taken, or as a hit, two deletions and two
insertions.

Source: SCTK, src/sclite/word.c (costs) and net_dp.c (order), github.com/usnistgov/SCTK.
"""

from collections.abc import Sequence
from enum import StrEnum

import jiwer
import numpy as np
from numpy.typing import NDArray

Pair = tuple[str | None, str | None]

_NIST_SUBSTITUTION = 4
_NIST_GAP = 3  # a deletion or an insertion


class Costs(StrEnum):
    """What an error costs while the cheapest alignment is looked for; each counts as one."""

    LEVENSHTEIN = "levenshtein"
    NIST = "nist"


def align_tokens(
    reference: Sequence[str], hypothesis: Sequence[str], *, costs: Costs = Costs.LEVENSHTEIN
) -> list[Pair]:
    """Return the tokens in pairs: (said, recognised).

    Equal tokens are a hit, unequal ones a substitution, (token, None) a deletion and (None, token)
    an insertion. With Levenshtein costs there are as few errors as can be, and jiwer chooses among
    equally good alignments; with NIST's it is sclite's alignment, ties included.
    """
    if costs is Costs.NIST:
        return _align_as_sclite(reference, hypothesis)
    if not reference:  # a stated case, since libraries disagree: all insertions
        return [(None, token) for token in hypothesis]
    pairs: list[Pair] = []
    as_they_are = _TokensAsTheyAre()
    output = jiwer.process_words(list(reference), list(hypothesis), as_they_are, as_they_are)
    for chunk in output.alignments[0]:
        said = list(reference[chunk.ref_start_idx : chunk.ref_end_idx])
        heard = list(hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx])
        length = max(len(said), len(heard))
        pairs += zip(_filled(said, length), _filled(heard, length), strict=True)
    return pairs


class _TokensAsTheyAre(jiwer.AbstractTransform):
    """Hand tokens to jiwer as one sentence; its own transforms would split and trim them."""

    def process_list(self, inp: list[str]) -> list[list[str]]:
        return [inp]


def _filled(tokens: list[str], length: int) -> list[str | None]:
    return [*tokens, *[None] * (length - len(tokens))]


def _align_as_sclite(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Pair]:
    """Walk back along the cheapest way, as the module's header says."""
    # Equal tokens at the end are hits on that way: no detour is cheaper, and a hit comes first.
    i, j = len(reference), len(hypothesis)
    backwards: list[Pair] = []
    while i and j and reference[i - 1] == hypothesis[j - 1]:
        i, j = i - 1, j - 1
        backwards.append((reference[i], hypothesis[j]))
    if i and j:
        paired, inserted = _cheapest_steps(reference[:i], hypothesis[:j])
    while i or j:
        if i and j and _bit(paired[i - 1], j - 1):
            i, j = i - 1, j - 1
            backwards.append((reference[i], hypothesis[j]))
        elif j and (not i or _bit(inserted[i - 1], j - 1)):
            j -= 1
            backwards.append((None, hypothesis[j]))
        else:
            i -= 1
            backwards.append((reference[i], None))
    return backwards[::-1]


def _cheapest_steps(
    reference: Sequence[str], hypothesis: Sequence[str]
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Return where a hit or substitution, and where an insertion, ends a cheapest alignment.

    Row i, bit j is for the first i + 1 tokens of the reference and j + 1 of the hypothesis. Two
    bits per cell, so that an hour's characters fit into memory; two rows of costs at a time.
    """
    number: dict[str, int] = {}
    heard = np.array([number.setdefault(token, len(number)) for token in hypothesis])
    ramp = _NIST_GAP * np.arange(len(heard) + 1)
    above = ramp
    paired, inserted = [], []
    for i, token in enumerate(reference, start=1):
        matched = heard == number.get(token, -1)
        diagonal = above[:-1] + np.where(matched, 0, _NIST_SUBSTITUTION)
        row = np.empty_like(above)
        row[0] = i * _NIST_GAP
        np.minimum(diagonal, above[1:] + _NIST_GAP, out=row[1:])
        # Any number of insertions may follow: the least of row[k] + gap * (j - k) over k <= j.
        row = np.minimum.accumulate(row - ramp) + ramp
        paired.append(np.packbits(diagonal == row[1:]))
        inserted.append(np.packbits(row[:-1] + _NIST_GAP == row[1:]))
        above = row
    return paired, inserted


def _bit(row: NDArray[np.uint8], at: int) -> bool:
    return bool(row[at >> 3] >> (7 - (at & 7)) & 1)
