"""AN4: the heads that a model may have, and the ways in which each model can be searched."""

import argparse
from collections.abc import Mapping, Sequence

from recipes.experiment import add_corpus, make_parser

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


def parse_arguments(
    module: str, description: str | None, *, default_set: str
) -> argparse.Namespace:
    """Return the command line of a recipe that compares models of different heads.

    Args:
        module: what stands behind `python -m`.
        description: the module's docstring.
        default_set: what is judged on unless `--on` says so.
    """
    parser = make_parser(module, description)
    add_corpus(parser)
    parser.add_argument(
        "--on", choices=("test", "dev"), default=default_set, help="what to judge on"
    )
    parser.add_argument(
        "--models", nargs="+", choices=list(MODELS), default=list(MODELS), help="train these only"
    )
    return parser.parse_args()


def with_heads(args: argparse.Namespace, model: str) -> argparse.Namespace:
    """Return the command line with a model's losses weighted; its own `--set` may change that."""
    return argparse.Namespace(**vars(args) | {"set": [*MODELS[model], *args.set]})
