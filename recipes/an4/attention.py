"""AN4: CTC, attention, and both, trained alike and searched in every way.

    python -m recipes.an4.attention --corpus DIR -o exp/an4-attention --on dev      choose on dev
    python -m recipes.an4.attention --corpus DIR -o exp/an4-attention-test          judge on test

The models are the recipe's (run.py): one first model finds where words begin and end, and three
learn from the pieces, the same encoder with one head, the other, or both (conf/an4_attention.yaml).
The language model (order 3) knows the training texts only. Its weights and the share of CTC are
searched on dev, where `--on dev` prints them; they stand below.

Measured error rates and the commit that made them: RESULTS.md, beside this file.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from ctcasr.bundle import load
from ctcasr.decode_config import DecodeConfig
from ctcasr.pipeline.emissions import EmissionStore
from ctcasr.pipeline.evaluate import evaluate
from ctcasr.pipeline.tune import find_settings, hear
from ctcasr.reporting import render_error_table
from recipes.an4.heads import BEAMS, SEARCHES, parse_arguments, with_heads
from recipes.an4.prepare import prepare
from recipes.experiment import configure, run_recipe, train_model
from recipes.pieces import make_pieces
from recipes.words import write_words

ORDER = 3
WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "CTC, decoded by ctc, LM": {"alpha": 0.625, "beta": 2.5},
    "attention, decoded by attention, LM": {"alpha": 0.125, "beta": 0.5},
    "joint, decoded by ctc, LM": {"alpha": 0.75, "beta": 3.5},
    "joint, decoded by attention, LM": {"alpha": 0.25, "beta": 1.5, "length_power": 1.0},
    "joint, decoded by joint, LM": {"alpha": 0.375, "beta": 2.5, "length_power": 1.0},
}
"""Of each row with a language model, found on dev."""


def main() -> None:
    args = parse_arguments("recipes.an4.attention", __doc__, default_set="test")

    manifests = prepare(args.corpus, args.out / "manifests")
    if args.on == "test":
        train, held_out, dev = manifests.train_all, manifests.test, None
    else:
        train, held_out, dev = manifests.train_nodev, manifests.train_dev, manifests.train_dev
    lm = str(write_words(train, args.out / "lm", order=ORDER).lm)
    pieces = make_pieces("an4", args, args.out / "first", train=train)
    results = {}
    for name in args.models:
        config = configure("an4_attention", with_heads(args, name), train=pieces, dev=dev)
        model = train_model(config, args.out / name.lower(), device=args.device)
        for row, decode in make_searches(name, lm):
            if args.on == "dev" and decode.lm is not None:
                decode = tune(row, model, held_out, decode, device=args.device)
            results[row] = evaluate(
                model,
                held_out,
                out=args.out / "eval" / f"{args.on}-{row.replace(', ', '-').replace(' ', '-')}",
                device=args.device,
                decode=decode,
            )
    print(render_error_table(results), end="")


def make_searches(model: str, lm: str) -> Iterator[tuple[str, DecodeConfig]]:
    """Yield the rows of a model: their names, and how it is searched in each.

    Args:
        model: one of `MODELS`.
        lm: file of the language model.
    """
    for search in SEARCHES[model]:
        row = f"{model}, decoded by {search}"
        yield row, DecodeConfig(search=search, beam=BEAMS[search])
        with_lm = f"{row}, LM"
        yield (
            with_lm,
            DecodeConfig(search=search, beam=BEAMS[search], lm=lm, **WEIGHTS.get(with_lm, {})),
        )


def tune(
    row: str, model: Path, manifest: Path, decode: DecodeConfig, *, device: str
) -> DecodeConfig:
    """Return the same search with the weights that are best on a manifest, and print them."""
    recognizer = load(model, device=device)
    with EmissionStore() as emissions:
        heard = hear(recognizer, manifest, emissions)
        tuned = find_settings(recognizer, heard, decode, fixed=["beam", "threshold", "unknown"])
    best = tuned.best.decode
    keys = ("alpha", "beta", "ctc_weight", "length_power")
    print(f"{row}: {', '.join(f'decode.{key} {getattr(best, key):g}' for key in keys)}")
    return best


if __name__ == "__main__":
    sys.exit(run_recipe(main))
