"""AN4: from a folder of recordings to error rates without a language model.

    python -m recipes.an4.run --corpus DIR -o exp/an4               learn from 948, judge on test
    python -m recipes.an4.run --corpus DIR -o exp/an4-dev --on dev  learn from 848, judge on dev

All choices are made on dev; the test set is for a model that is final.
Measured error rates, run times and the commit that made them: RESULTS.md, beside this file.
"""

import sys

from ctcasr.config import DecodeConfig
from ctcasr.pipeline.evaluate import evaluate
from ctcasr.reporting import render_error_table
from recipes.an4.prepare import prepare
from recipes.experiment import add_corpus, configure, make_parser, run_recipe, train_model

SEARCHES = {"best path": DecodeConfig(), "prefix beam": DecodeConfig(beam=16)}


def main() -> None:
    parser = make_parser("recipes.an4.run", __doc__)
    add_corpus(parser)
    parser.add_argument("--on", choices=("test", "dev"), default="test", help="what to judge on")
    args = parser.parse_args()

    manifests = prepare(args.corpus, args.out / "manifests")
    if args.on == "test":
        config = configure("an4", args, train=manifests.train_all)
        held_out = manifests.test
    else:
        config = configure("an4", args, train=manifests.train_nodev, dev=manifests.train_dev)
        held_out = manifests.train_dev
    model = train_model(config, args.out, device=args.device)
    results = {
        f"{args.on}, {search}": evaluate(
            model,
            held_out,
            out=args.out / "eval" / f"{args.on}-{search.replace(' ', '-')}",
            device=args.device,
            decode=decode,
        )
        for search, decode in SEARCHES.items()
    }
    print(render_error_table(results), end="")


if __name__ == "__main__":
    sys.exit(run_recipe(main))
