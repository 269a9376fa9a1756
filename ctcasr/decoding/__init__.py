"""The search: log-probabilities per frame in, label sequences out. NumPy only; no torch."""

from ctcasr.decoding.align import forced_align
from ctcasr.decoding.greedy import best_path
from ctcasr.decoding.hypothesis import Hypothesis, Word
from ctcasr.decoding.prefix_beam import PrefixBeamDecoder
from ctcasr.decoding.prefix_search import PrefixSearchResult, prefix_search

__all__ = [
    "Hypothesis",
    "PrefixBeamDecoder",
    "PrefixSearchResult",
    "Word",
    "best_path",
    "forced_align",
    "prefix_search",
]
