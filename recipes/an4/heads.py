"""AN4: the heads that a model may have, and the ways in which each model can be searched."""

from collections.abc import Mapping, Sequence

MODELS: Mapping[str, Sequence[str]] = {
    "CTC": ("heads.ctc.weight=1", "heads.attention.weight=0"),
    "attention": ("heads.ctc.weight=0", "heads.attention.weight=1"),
    "joint": ("heads.ctc.weight=0.5", "heads.attention.weight=0.5"),
}
"""KEY=VALUE of the losses' weights, by what the model is called in tables."""

SEARCHES: Mapping[str, Sequence[str]] = {
    "CTC": ("ctc",),
    "attention": ("attention",),
    "joint": ("ctc", "attention", "joint"),
}
"""Values of `decode.search`, by model."""

BEAMS: Mapping[str, int] = {"ctc": 64, "attention": 8, "joint": 8}
"""Hypotheses kept, by search: those of attention cost a step of the decoder each."""
