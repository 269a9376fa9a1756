"""All that a report says beside the rates: where the errors are, of what kind, and whose fault.

Everything here is counted over text under the rules of the normalised score.
"""

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from ctcasr.scoring.breakdown import Breakdown, break_down
from ctcasr.scoring.calibration import Calibration, calibrate
from ctcasr.scoring.confusions import Confusions, UnseenWords, count_confusions, find_unseen
from ctcasr.scoring.disagreement import Disagreement, judge_disagreement
from ctcasr.scoring.error_rate import ErrorCounts, count_errors
from ctcasr.scoring.measured import Verdict
from ctcasr.scoring.results import Results, ScoredUtterance
from ctcasr.text_rules import apply_rules_to_pair


@dataclass(frozen=True, slots=True)
class SearchErrors:
    """Search error or model error, over the outputs whose scores are known.

    Attributes:
        outputs: how many.
        wrong: of them, outputs that differ from the reference; by_verdict says whose fault.
        unwritable: ids of the references that the model cannot write.
        proven: of how many outputs is it proven that nothing scores higher; None where no
            certificate was asked for.
        changed: outputs that a wider search without threshold changes; None where there was none.
        wider: word errors of that search; narrow: of the output, over the same utterances.
    """

    outputs: int
    wrong: int
    by_verdict: Counter[Verdict]
    unwritable: tuple[str, ...]
    proven: int | None
    changed: int | None
    wider: ErrorCounts | None
    narrow: ErrorCounts | None

    def to_json(self) -> dict[str, Any]:
        """Return the counts as a JSON object."""
        return {
            "outputs": self.outputs,
            "wrong": self.wrong,
            **{verdict.value: self.by_verdict[verdict] for verdict in Verdict},
            "unwritable_ids": list(self.unwritable),
            "proven": self.proven,
            "changed_by_wider": self.changed,
            "wider_wer": None if self.wider is None else self.wider.rate,
            "wer": None if self.narrow is None else self.narrow.rate,
        }


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a report says beside the rates; None for what there is no way to know.

    Attributes:
        breakdowns: by field.
        words, chars: confusions.
        unseen: words that training never saw.
        search: whose fault errors are.
        calibration: of confidences.
        disagreement: of CTC and attention.
    """

    breakdowns: tuple[Breakdown, ...]
    words: Confusions
    chars: Confusions
    unseen: UnseenWords | None = None
    search: SearchErrors | None = None
    calibration: Calibration | None = None
    disagreement: Disagreement | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record "analysis" of results.json."""
        parts = {"unseen": self.unseen, "search": self.search, "calibration": self.calibration}
        return {
            "breakdowns": [one.to_json() for one in self.breakdowns],
            "confusions": {"word": self.words.to_json(), "char": self.chars.to_json()},
            **{name: None if part is None else part.to_json() for name, part in parts.items()},
            **({"disagreement": self.disagreement.to_json()} if self.disagreement else {}),
        }


def analyse(results: Results, *, seen: Set[str] | None = None, seed: int = 0) -> Analysis:
    """Look closer at scored utterances.

    Args:
        results: with what was measured, where a recognizer was there to measure it.
        seen: the words of the training set, under the same rules; None where they are not known.
        seed: of intervals.
    """
    utterances, costs = results.under_rules, results.costs
    words = count_confusions(
        ((one.reference.split(), one.hypothesis.split()) for one in utterances), costs=costs
    )
    return Analysis(
        breakdowns=tuple(break_down(utterances, cluster=results.clusters.by, seed=seed)),
        words=words,
        chars=count_confusions(
            ((list(one.reference), list(one.hypothesis)) for one in utterances), costs=costs
        ),
        unseen=None if seen is None else find_unseen(words, seen),
        search=judge_search(utterances, rules=results.rules),
        calibration=calibrate(utterances, costs=costs),
        disagreement=judge_disagreement(utterances),
    )


def judge_search(
    utterances: Sequence[ScoredUtterance], *, rules: Sequence[str]
) -> SearchErrors | None:
    """Return whose fault the errors are; None where no utterance has scores.

    Args:
        utterances: with what was measured.
        rules: text rules that their texts have gone through.
    """
    judged = [(one, one.measured) for one in utterances if one.measured and one.measured.verdict]
    if not judged:
        return None
    wrong = [(one, facts) for one, facts in judged if one.reference != one.hypothesis]
    widened = [(one, facts.wider) for one, facts in judged if facts.wider is not None]
    again = [(one, apply_rules_to_pair(one.reference, text, rules)[1]) for one, text in widened]
    proofs = [facts.is_proven for _, facts in judged if facts.is_proven is not None]
    return SearchErrors(
        outputs=len(judged),
        wrong=len(wrong),
        by_verdict=Counter(facts.verdict for _, facts in wrong if facts.verdict),
        unwritable=tuple(one.id for one, facts in judged if facts.verdict is Verdict.UNWRITABLE),
        proven=sum(proofs) if proofs else None,
        changed=sum(text != one.hypothesis for one, text in again) if again else None,
        wider=_sum(count_errors(one.reference.split(), text.split()) for one, text in again)
        if again
        else None,
        narrow=_sum(one.word for one, _ in again) if again else None,
    )


def _sum(counts: Any) -> ErrorCounts:
    return sum(counts, start=ErrorCounts())
