"""What stands around the figures: how they were made, and what a reader must know before them."""

from collections.abc import Mapping
from typing import Any

from ctcasr.reporting.tables import in_words

FEW_CLUSTERS = 20
"""Below so many, an interval that draws whole clusters is itself not to be trusted."""


def notes_on(record: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know before the figures, a sentence each."""
    notes = []
    clusters = record.get("clusters")
    word = record["raw"]["word"]
    if word["ci95"] is None:
        notes.append("There are no intervals: they take two speakers or utterances at least.")
    elif word["resampled_by"] == "utterance":
        notes.append(
            "Intervals draw single utterances, since nothing says which of them belong together. "
            "They say how the rate could vary for these speakers, and nothing about others."
        )
    elif clusters and clusters["n"] < FEW_CLUSTERS:
        notes.append(
            f"Intervals draw whole groups ({clusters['by']}), and there are {clusters['n']} only: "
            f"below {FEW_CLUSTERS} they are too narrow more often than 5 % of the time."
        )
    return notes


def origin_of(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how the results were made, as far as it is known."""
    model = record["model"] or {}
    facts = {
        "command": record["command"],
        "commit": record["commit"],
        "model": " ".join(str(value) for value in model.values() if value),
        "decoder": in_words(record["decoder"] or {}),
        "versions": in_words(record["versions"] or {}),
        "reference sha256": record["reference_sha256"],
        "text rules": ", ".join(record["rules"]),
        "alignment costs": record.get("costs"),
        "real-time factor": None if record["rtf"] is None else f"{record['rtf']:.3f}",
    }
    return [(fact, value) for fact, value in facts.items() if value]
