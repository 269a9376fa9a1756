"""Systems side by side on one test set: everything that comparison.json holds.

The first system is the baseline; every other is compared with it. Where there are several, their
p-values are corrected together, each test by itself (Holm).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ctcasr.scoring.alignment import Costs, align_tokens
from ctcasr.scoring.error_rate import ErrorCounts, count_errors, count_pairs
from ctcasr.scoring.paired_tests import (
    MatchedPairs,
    McNemar,
    RateDifference,
    WordErrors,
    correct_by_holm,
    find_segments,
    locate_errors,
    matched_pairs,
    mcnemar,
    paired_bootstrap,
)
from ctcasr.scoring.rates import Clusters, ErrorRate, pooled_rate
from ctcasr.scoring.results import SentenceErrors
from ctcasr.scoring.significance import bootstrap_interval

MOST_SHOWN = 10
"""Utterances in each direction that are listed with their texts."""

TESTS = ("word", "char", "sentence", "mapsswe", "mcnemar")
"""What `PairComparison` holds a p-value for: three differences of rates, two more tests."""


@dataclass(frozen=True, slots=True)
class System:
    """What one system made of the test set.

    Attributes:
        name: of the system.
        outputs: as many as there are references; empty for an item that failed.
        failed: ids of the items without output.
    """

    name: str
    outputs: Sequence[str]
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SystemScore:
    """Error rates of one system."""

    name: str
    failed: tuple[str, ...]
    word: ErrorRate
    char: ErrorRate
    sentence: SentenceErrors

    def to_json(self) -> dict[str, Any]:
        """Return one entry of "systems" in comparison.json."""
        return {
            "name": self.name,
            "failed": list(self.failed),
            "word": self.word.to_json(),
            "char": self.char.to_json(),
            "sentence": self.sentence.to_json(),
        }


@dataclass(frozen=True, slots=True)
class DifferingUtterance:
    """An utterance that one system recognised better than the other; errors are words."""

    id: str
    reference: str
    baseline_output: str
    output: str
    baseline_errors: int
    errors: int

    def to_json(self) -> dict[str, Any]:
        """Return one entry of "utterances" of a comparison."""
        return {
            "id": self.id,
            "ref": self.reference,
            "baseline": {"hyp": self.baseline_output, "errors": self.baseline_errors},
            "system": {"hyp": self.output, "errors": self.errors},
        }


@dataclass(frozen=True, slots=True)
class PairComparison:
    """One system against the baseline.

    Attributes:
        baseline: its name.
        system: the other's name.
        word: difference of the word error rates.
        char: of the character error rates.
        sentence: of the shares of sentences that are not exactly right.
        mapsswe: matched pairs test on segments of words.
        mcnemar: on sentences.
        fewer: utterances in which the other system makes fewer word errors.
        more: utterances in which it makes more.
        most_differing: those with most word errors saved, then those with most made.
    """

    baseline: str
    system: str
    word: RateDifference
    char: RateDifference
    sentence: RateDifference
    mapsswe: MatchedPairs
    mcnemar: McNemar
    fewer: int
    more: int
    most_differing: tuple[DifferingUtterance, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What comparison.json holds, but for how it was made.

    Attributes:
        systems: scores, the baseline's first.
        pairs: every other system against the baseline.
        utterances: how many there are.
        empty_references: how many of them say nothing.
        clusters: what the bootstrap drew.
        costs: of the alignments.
    """

    systems: tuple[SystemScore, ...]
    pairs: tuple[PairComparison, ...]
    utterances: int
    empty_references: int
    clusters: Clusters
    costs: Costs

    def to_json(self) -> dict[str, Any]:
        """Return comparison.json; "p_holm" is corrected for the other pairs, test by test."""
        tests = {test: [getattr(pair, test) for pair in self.pairs] for test in TESTS}
        corrected = {
            test: correct_by_holm([result.p_value for result in results])
            for test, results in tests.items()
        }
        return {
            "schema": 1,
            "utterances": self.utterances,
            "empty_references": self.empty_references,
            "clusters": {"by": self.clusters.by, "n": self.clusters.count},
            "costs": self.costs.value,
            "correction": "holm" if len(self.pairs) > 1 else None,
            "systems": [system.to_json() for system in self.systems],
            "comparisons": [
                {
                    "baseline": pair.baseline,
                    "system": pair.system,
                    **{
                        test: tests[test][at].to_json() | {"p_holm": corrected[test][at]}
                        for test in TESTS
                    },
                    "fewer_errors": pair.fewer,
                    "more_errors": pair.more,
                    "utterances": [item.to_json() for item in pair.most_differing],
                }
                for at, pair in enumerate(self.pairs)
            ],
        }


def compare_systems(
    ids: Sequence[str],
    references: Sequence[str],
    systems: Sequence[System],
    clusters: Clusters,
    *,
    costs: Costs = Costs.LEVENSHTEIN,
    seed: int = 0,
) -> Comparison:
    """Compare every system with the first.

    Args:
        ids: (N,) of the utterances.
        references: (N,) what was said, under the text rules that are to count.
        systems: two or more, each with N outputs under the same rules.
        clusters: of the utterances; what the bootstrap draws.
        costs: of the alignments.
        seed: of the bootstrap.
    """
    scored = [_Scored.of(references, system, costs) for system in systems]
    return Comparison(
        systems=tuple(one.score(clusters, seed=seed) for one in scored),
        pairs=tuple(
            _compare(ids, references, scored[0], other, clusters, seed=seed) for other in scored[1:]
        ),
        utterances=len(ids),
        empty_references=sum(not reference for reference in references),
        clusters=clusters,
        costs=costs,
    )


@dataclass(frozen=True, slots=True)
class _Scored:
    """A system with its errors, utterance by utterance; `located` is None where there are none."""

    system: System
    word: list[ErrorCounts]
    char: list[ErrorCounts]
    wrong: list[bool]
    located: list[WordErrors | None]

    @classmethod
    def of(cls, references: Sequence[str], system: System, costs: Costs) -> "_Scored":
        one = cls(system, [], [], [], [])
        for said, heard in zip(references, system.outputs, strict=True):
            words = said.split()
            one.wrong.append(said != heard)
            if said == heard:
                one.word.append(ErrorCounts(hits=len(words)))
                one.char.append(ErrorCounts(hits=len(said)))
                one.located.append(None)
                continue
            pairs = align_tokens(words, heard.split(), costs=costs)
            one.word.append(count_pairs(pairs))
            one.char.append(count_errors(said, heard, costs=costs))
            one.located.append(locate_errors(pairs) if one.word[-1].errors else None)
        return one

    def score(self, clusters: Clusters, *, seed: int) -> SystemScore:
        total = len(self.wrong)
        return SystemScore(
            name=self.system.name,
            failed=self.system.failed,
            word=pooled_rate(self.word, clusters, seed=seed),
            char=pooled_rate(self.char, clusters, seed=seed),
            sentence=SentenceErrors(
                total=total,
                wrong=sum(self.wrong),
                interval=bootstrap_interval(self.wrong, [1] * total, clusters.names, seed=seed),
            ),
        )


def _compare(
    ids: Sequence[str],
    references: Sequence[str],
    baseline: _Scored,
    other: _Scored,
    clusters: Clusters,
    *,
    seed: int,
) -> PairComparison:
    def of_counts(
        first: Sequence[ErrorCounts], second: Sequence[ErrorCounts]
    ) -> tuple[RateDifference, list[int]]:
        errors = [count.errors for count in first], [count.errors for count in second]
        lengths = [count.reference_length for count in first]
        saved = [before - after for before, after in zip(*errors, strict=True)]
        return paired_bootstrap(*errors, lengths, clusters.names, seed=seed), saved

    word, saved = of_counts(baseline.word, other.word)
    char, _ = of_counts(baseline.char, other.char)
    ones = [1] * len(ids)

    def differing(at: int) -> DifferingUtterance:
        return DifferingUtterance(
            id=ids[at],
            reference=references[at],
            baseline_output=baseline.system.outputs[at],
            output=other.system.outputs[at],
            baseline_errors=baseline.word[at].errors,
            errors=other.word[at].errors,
        )

    return PairComparison(
        baseline=baseline.system.name,
        system=other.system.name,
        word=word,
        char=char,
        sentence=paired_bootstrap(baseline.wrong, other.wrong, ones, clusters.names, seed=seed),
        mapsswe=matched_pairs(list(_segments(baseline, other))),
        mcnemar=mcnemar(baseline.wrong, other.wrong),
        fewer=sum(gain > 0 for gain in saved),
        more=sum(gain < 0 for gain in saved),
        most_differing=tuple(map(differing, _most_differing(saved))),
    )


def _segments(baseline: _Scored, other: _Scored) -> Iterator[tuple[int, int]]:
    for first, second, counts in zip(baseline.located, other.located, baseline.word, strict=True):
        if first or second:
            none = WordErrors.none(counts.reference_length)
            yield from find_segments(first or none, second or none)


def _most_differing(saved: Sequence[int]) -> list[int]:
    """Return where most errors were saved, and where most were made; equal ones in file order."""
    ranked = sorted(range(len(saved)), key=lambda at: -saved[at])
    best = [at for at in ranked[:MOST_SHOWN] if saved[at] > 0]
    ranked.sort(key=lambda at: saved[at])
    return best + [at for at in ranked[:MOST_SHOWN] if saved[at] < 0]
