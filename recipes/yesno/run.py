"""yesno: from sixty recordings to a scored model, in seconds.

    python -m recipes.yesno.run --corpus DIR -o exp/yesno                learn from 30, judge on 30
    python -m recipes.yesno.run --corpus DIR -o exp/yesno-dev --on dev   inside the first 30

A first model finds where the words begin and end; the second learns from pieces of the recordings,
put together anew (recipes/pieces.py). All choices are made on dev; the test set is for a model that
is final.
Measured error rates, run times and the commit that made them: RESULTS.md, beside this file.
"""

import sys

from ctcasr.pipeline.evaluate import evaluate
from ctcasr.reporting import render_error_table
from recipes.experiment import add_corpus, make_parser, run_recipe
from recipes.pieces import train_on_pieces
from recipes.yesno.prepare import prepare


def main() -> None:
    parser = make_parser("recipes.yesno.run", __doc__)
    add_corpus(parser)
    parser.add_argument("--on", choices=("test", "dev"), default="test", help="what to judge on")
    args = parser.parse_args()

    manifests = prepare(args.corpus, args.out / "manifests")
    if args.on == "test":
        train, held_out, dev = manifests.train_all, manifests.test, None
    else:
        train, held_out, dev = manifests.train_nodev, manifests.train_dev, manifests.train_dev
    model = train_on_pieces("yesno", args, args.out, train=train, dev=dev)
    results = evaluate(model, held_out, out=args.out / "eval" / args.on, device=args.device)
    print(render_error_table({args.on: results}), end="")


if __name__ == "__main__":
    sys.exit(run_recipe(main))
