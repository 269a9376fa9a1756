"""Error counts: counts add, rates do not, and an empty reference is a stated case.

A rate is errors / reference tokens. It exceeds 1 where more was inserted than was said, and is
never clipped; where nothing was said there is no rate.

Source: Morris et al. 2004, "From WER and RIL to MER and WIL", section 2.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ctcasr.scoring.alignment import Costs, Pair, align_tokens


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Hits and errors of one utterance, or the sum of many.

    Attributes:
        hits: reference tokens that were recognised.
        substitutions: reference tokens with another in their place.
        deletions: reference tokens with nothing in their place.
        insertions: recognised tokens that nobody said.
    """

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def reference_length(self) -> int:
        """Tokens that were said."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float | None:
        """Errors per token that was said, 0 and up; None where nothing was said."""
        return self.errors / self.reference_length if self.reference_length else None


def count_errors(
    reference: Sequence[str], hypothesis: Sequence[str], *, costs: Costs = Costs.LEVENSHTEIN
) -> ErrorCounts:
    """Count the errors of one token list against another, by the cheapest alignment.

    With Levenshtein costs that is the one with the fewest errors; with NIST's there may be more.
    """
    return count_pairs(align_tokens(reference, hypothesis, costs=costs))


def count_pairs(pairs: Iterable[Pair]) -> ErrorCounts:
    """Count hits and errors of an alignment."""
    hits = substitutions = deletions = insertions = 0
    for said, recognised in pairs:
        if said is None:
            insertions += 1
        elif recognised is None:
            deletions += 1
        elif said == recognised:
            hits += 1
        else:
            substitutions += 1
    return ErrorCounts(hits, substitutions, deletions, insertions)
