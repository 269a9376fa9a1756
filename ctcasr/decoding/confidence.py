"""Confidence: the share of the search's posterior mass that agrees.

A search ends with many label sequences and the mass of each. The share of a text in their sum is
its posterior probability, as far as the search has looked; a word's is the share of all texts that
have it in the same place, by the alignment with the fewest edits. The product of frame maxima,
which is often used instead, knows nothing of other spellings of the same word.

The search is surer of itself than it should be. A temperature above 1 makes it less so: posteriors
are those of scores divided by it. tune.py fits one on labelled recordings.

Sources: Wessel et al. 2001, "Confidence measures for large vocabulary continuous speech
recognition", section III, with n-best lists in place of word graphs; Guo et al. 2017, "On
Calibration of Modern Neural Networks", section 4.2, for the temperature.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from ctcasr.alphabet import Alphabet
from ctcasr.decoding.search import Found

_SMALLEST_SHARE = 1e-6  # what is rarer than that, no confidence shows


def posteriors(found: Sequence[Found], temperature: float = 1.0) -> list[float]:
    """Return each hypothesis's share of the mass of all, with scores divided by a temperature."""
    if not found:
        return []
    scores = np.array([one.log_prob for one in found]) / temperature
    shares = np.exp(scores - scores.max())
    return [float(share) for share in shares / shares.sum()]


def word_confidences(
    alphabet: Alphabet, labels: Sequence[int], found: Sequence[Found], shares: Sequence[float]
) -> list[float]:
    """Return for each word of `labels` the share of hypotheses that have it there."""
    words = alphabet.words(labels)
    agreed = np.zeros(len(words))
    for other, share in zip(found, shares, strict=True):
        if share > _SMALLEST_SHARE:
            agreed[_places_in_common(words, alphabet.words(other.labels))] += share
    return [min(1.0, float(share)) for share in agreed]


def agreement(words: Sequence[str], texts: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
    """Return (W, K): whether the k-th text has the w-th word in the same place."""
    agreed = np.zeros((len(words), len(texts)), dtype=np.bool_)
    for at, theirs in enumerate(texts):
        agreed[_places_in_common(words, theirs), at] = True
    return agreed


def _places_in_common(words: Sequence[str], theirs: Sequence[str]) -> list[int]:
    """Return which words the other text has in the same place.

    Two texts of one search mostly differ in a word or two, so only what lies between their common
    beginning and end is aligned; that costs no edit.
    """
    shorter = min(len(words), len(theirs))
    first = 0
    while first < shorter and words[first] == theirs[first]:
        first += 1
    last = 0
    while last < shorter - first and words[-1 - last] == theirs[-1 - last]:
        last += 1
    stop = len(words) - last
    same = [*range(first), *range(stop, len(words))]
    between, others = words[first:stop], theirs[first : len(theirs) - last]
    if not set(between) & set(others):
        return same
    matches = Levenshtein.opcodes(between, others)
    return same + [
        first + at
        for one in matches
        if one.tag == "equal"
        for at in range(one.src_start, one.src_end)
    ]
