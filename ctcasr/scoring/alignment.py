"""Minimum-edit alignment of two token lists: which token was said for which.

jiwer does the work (rapidfuzz underneath); tokens are any strings, spaces among them.
"""

from collections.abc import Sequence

import jiwer

Pair = tuple[str | None, str | None]


def align_tokens(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Pair]:
    """Return the tokens in pairs: (said, recognised).

    Equal tokens are a hit, unequal ones a substitution, (token, None) a deletion and (None, token)
    an insertion. There are as few errors as can be; among equally good alignments jiwer chooses.
    """
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
