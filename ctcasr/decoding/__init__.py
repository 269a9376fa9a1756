"""The search: log-probabilities per frame in, label sequences out. No torch."""

from ctcasr.decoding.align import forced_align
from ctcasr.decoding.arpa import parse_arpa, read_arpa, write_arpa
from ctcasr.decoding.backend import backend
from ctcasr.decoding.greedy import best_path
from ctcasr.decoding.hypothesis import Hypothesis, Word
from ctcasr.decoding.ngram import NgramModel
from ctcasr.decoding.ngram_estimation import estimate_ngrams
from ctcasr.decoding.prefix_beam import PrefixBeamDecoder, StreamingDecoder
from ctcasr.decoding.prefix_search import PrefixSearchResult, prefix_search

__all__ = [
    "Hypothesis",
    "NgramModel",
    "PrefixBeamDecoder",
    "PrefixSearchResult",
    "StreamingDecoder",
    "Word",
    "backend",
    "best_path",
    "estimate_ngrams",
    "forced_align",
    "parse_arpa",
    "prefix_search",
    "read_arpa",
    "write_arpa",
]
