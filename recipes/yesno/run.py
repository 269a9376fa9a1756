"""yesno: from sixty recordings to a scored model, in seconds.

    python -m recipes.yesno.run --corpus DIR -o exp/yesno

Measured error rates, run times and the commit that made them: RESULTS.md, beside this file.
"""

import sys

from ctcasr.pipeline.evaluate import evaluate
from ctcasr.reporting import render_error_table
from recipes.experiment import add_corpus, configure, make_parser, run_recipe, train_model
from recipes.yesno.prepare import prepare


def main() -> None:
    parser = make_parser("recipes.yesno.run", __doc__)
    add_corpus(parser)
    args = parser.parse_args()

    manifests = prepare(args.corpus, args.out / "manifests")
    config = configure("yesno", args, train=manifests.train, dev=manifests.dev)
    model = train_model(config, args.out, device=args.device)
    test = evaluate(model, manifests.test, out=args.out / "eval" / "test", device=args.device)
    print(render_error_table({"test": test}), end="")


if __name__ == "__main__":
    sys.exit(run_recipe(main))
