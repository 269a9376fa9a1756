"""Counting errors honestly: alignment, counts, intervals, results.json. No torch."""

from ctcasr.scoring.alignment import Costs, align_tokens
from ctcasr.scoring.error_rate import ErrorCounts, count_errors
from ctcasr.scoring.pairing import pair_items
from ctcasr.scoring.results import Failed, Provenance, Reference, Results, score_utterances
from ctcasr.scoring.significance import bootstrap_interval

__all__ = [
    "Costs",
    "ErrorCounts",
    "Failed",
    "Provenance",
    "Reference",
    "Results",
    "align_tokens",
    "bootstrap_interval",
    "count_errors",
    "pair_items",
    "score_utterances",
]
