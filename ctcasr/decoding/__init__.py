"""The search: log-probabilities per frame in, label sequences out. NumPy only; no torch."""

from ctcasr.decoding.greedy import best_path
from ctcasr.decoding.hypothesis import Hypothesis, Word

__all__ = ["Hypothesis", "Word", "best_path"]
