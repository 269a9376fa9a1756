"""What was taken for what: substitution pairs, deletions and insertions, counted."""

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from ctcasr.scoring.alignment import Costs, align_tokens

KEPT = 50
"""How many of each kind results.json lists, the most frequent first."""


@dataclass(frozen=True, slots=True)
class Confusions:
    """Counts over a test set.

    Attributes:
        substitutions: by (said, recognised).
        deletions, insertions: by token.
        said: how often each token was said.
        right: how often it was recognised.
    """

    substitutions: Counter[tuple[str, str]] = field(default_factory=Counter)
    deletions: Counter[str] = field(default_factory=Counter)
    insertions: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """Return the most frequent of each kind."""
        return {
            "substitutions": [
                {"said": said, "heard": heard, "n": n, "of": self.said[said]}
                for (said, heard), n in _most(self.substitutions)
            ],
            "deletions": [
                {"said": said, "n": n, "of": self.said[said]} for said, n in _most(self.deletions)
            ],
            "insertions": [{"heard": heard, "n": n} for heard, n in _most(self.insertions)],
        }


def count_confusions(
    texts: Iterable[tuple[Sequence[str], Sequence[str]]], *, costs: Costs = Costs.LEVENSHTEIN
) -> Confusions:
    """Count over pairs of token lists, (said, recognised).

    Args:
        texts: words, or characters.
        costs: of the alignments.
    """
    found = Confusions()
    for reference, output in texts:
        found.said.update(reference)
        if reference == output:
            found.right.update(reference)
            continue
        for said, recognised in align_tokens(reference, output, costs=costs):
            if said is None:
                found.insertions[recognised or ""] += 1
            elif recognised is None:
                found.deletions[said] += 1
            elif said == recognised:
                found.right[said] += 1
            else:
                found.substitutions[said, recognised] += 1
    return found


@dataclass(frozen=True, slots=True)
class UnseenWords:
    """Words that stand in no text of the training set.

    Attributes:
        said: how many of the reference's words are such; right: how many of them were recognised.
        words: them, with how often each was said and recognised.
    """

    said: int
    right: int
    words: tuple[tuple[str, int, int], ...]

    def to_json(self) -> dict[str, Any]:
        """Return counts and the most frequent words."""
        words = [{"word": word, "said": said, "right": right} for word, said, right in self.words]
        return {"said": self.said, "right": self.right, "words": words[:KEPT]}


def find_unseen(confusions: Confusions, seen: Set[str]) -> UnseenWords:
    """Return the words of a test set that are not in `seen`."""
    unseen = sorted(
        ((word, n) for word, n in confusions.said.items() if word not in seen),
        key=lambda item: (-item[1], item[0]),
    )
    words = tuple((word, n, confusions.right[word]) for word, n in unseen)
    return UnseenWords(sum(n for _, n in unseen), sum(right for *_, right in words), words)


def _most(counts: Counter[Any]) -> list[tuple[Any, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:KEPT]
