"""Scoring what was recognized once more: several test sets as one, or in other tokens."""

from collections.abc import Callable, Sequence

from ctcasr.scoring import Failed, Reference, Results, score_utterances


def score_together(
    parts: Sequence[Results], *, change: Callable[[str], str] = lambda text: text
) -> Results:
    """Return the results of several test sets as of one, so that intervals resample them all.

    Args:
        parts: at least one; no id may be in two of them.
        change: what is done to every text, said or recognized, before errors are counted.

    Raises:
        ScoringError: an id is in two parts.
    """
    utterances = [utterance for part in parts for utterance in part.utterances]
    failed = {item: Failed(reason) for part in parts for item, reason in part.failed}
    return score_utterances(
        [Reference(u.id, change(u.reference), u.speaker) for u in utterances],
        {u.id: failed.get(u.id, change(u.hypothesis)) for u in utterances},
        rules=parts[0].rules,
    )
