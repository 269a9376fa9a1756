"""The search: log-probabilities per frame in, label sequences out. No torch."""

from ctcasr.decoding.align import forced_align
from ctcasr.decoding.backend import backend
from ctcasr.decoding.greedy import best_path
from ctcasr.decoding.hypothesis import Hypothesis, Word
from ctcasr.decoding.prefix_beam import PrefixBeamDecoder, StreamingDecoder

__all__ = [
    "Hypothesis",
    "PrefixBeamDecoder",
    "StreamingDecoder",
    "Word",
    "backend",
    "best_path",
    "forced_align",
]
