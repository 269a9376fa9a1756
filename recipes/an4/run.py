"""AN4: from a folder of recordings to error rates, with and without a language model.

    python -m recipes.an4.run --corpus DIR -o exp/an4               learn from 948, judge on test
    python -m recipes.an4.run --corpus DIR -o exp/an4-dev --on dev  learn from 848, judge on dev

A first model finds where the words of the training set begin and end; the second learns from pieces
of its utterances that are put together anew as well (recipes/pieces.py).
The language model (order 3) and the lexicon know the training texts only. Their weights stand in
conf/an4.yaml; on dev they are searched and printed, so the dev figures with them are too good.

All choices are made on dev; the test set is for a model that is final.
Measured error rates, run times and the commit that made them: RESULTS.md, beside this file.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from ctcasr.bundle import load
from ctcasr.decode_config import DecodeConfig
from ctcasr.pipeline.emissions import EmissionStore
from ctcasr.pipeline.evaluate import evaluate
from ctcasr.pipeline.tune import find_settings, hear
from ctcasr.reporting import render_error_table
from recipes.an4.prepare import prepare
from recipes.experiment import add_corpus, make_parser, run_recipe
from recipes.pieces import train_on_pieces
from recipes.words import write_words

ORDER = 3


def main() -> None:
    parser = make_parser("recipes.an4.run", __doc__)
    add_corpus(parser)
    parser.add_argument("--on", choices=("test", "dev"), default="test", help="what to judge on")
    args = parser.parse_args()

    manifests = prepare(args.corpus, args.out / "manifests")
    if args.on == "test":
        train, held_out = manifests.train_all, manifests.test
    else:
        train, held_out = manifests.train_nodev, manifests.train_dev
    dev = held_out if args.on == "dev" else None
    model = train_on_pieces("an4", args, args.out, train=train, dev=dev)
    weights = load(model, device=args.device).config.decode
    searches = make_searches(train, args.out / "lm", weights=weights)
    if args.on == "dev":
        searches |= {
            name: tune(model, held_out, decode, device=args.device)
            for name, decode in searches.items()
            if decode.lm is not None
        }
    results = {
        f"{args.on}, {search}": evaluate(
            model,
            held_out,
            out=args.out / "eval" / f"{args.on}-{search.replace(' + ', '-').replace(' ', '-')}",
            device=args.device,
            decode=decode,
        )
        for search, decode in searches.items()
    }
    print(render_error_table(results), end="")


def make_searches(train: Path, folder: Path, *, weights: DecodeConfig) -> dict[str, DecodeConfig]:
    """Make a language model and a lexicon of the training texts; return the ways to search.

    Args:
        train: manifest that the recognizer learns from.
        folder: for the two files.
        weights: whose alpha and beta are taken.
    """
    words = write_words(train, folder, order=ORDER)
    lm, lexicon = str(words.lm), str(words.lexicon)
    chosen: Mapping[str, float] = {"alpha": weights.alpha, "beta": weights.beta}
    return {
        "best path": DecodeConfig(),
        "prefix beam": DecodeConfig(beam=16),
        "prefix beam + LM": DecodeConfig(lm=lm, **chosen),
        "prefix beam + LM + lexicon": DecodeConfig(lm=lm, lexicon=lexicon, **chosen),
    }


def tune(model: Path, manifest: Path, decode: DecodeConfig, *, device: str) -> DecodeConfig:
    """Return the same search with the weights that are best on a manifest, and print them."""
    recognizer = load(model, device=device)
    with EmissionStore() as emissions:
        heard = hear(recognizer, manifest, emissions)
        tuned = find_settings(recognizer, heard, decode, fixed=["beam", "threshold", "unknown"])
    best = tuned.best.decode
    what = "LM and lexicon" if decode.lexicon else "LM"
    print(
        f"{what}, tuned on {manifest.stem}: decode.alpha {best.alpha:g}, decode.beta {best.beta:g}"
    )
    return best


if __name__ == "__main__":
    sys.exit(run_recipe(main))
