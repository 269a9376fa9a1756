"""TIMIT: from labelled phones to a phone error rate on the core test set. Not run here yet.

    python -m recipes.timit.run --corpus DIR -o exp/timit

Learned are 48 phones, counted 39; the table's words are phones.
"""

import sys

from ctcasr.pipeline.evaluate import evaluate
from ctcasr.reporting import render_error_table
from recipes.experiment import add_corpus, configure, make_parser, run_recipe, train_model
from recipes.rescoring import score_together
from recipes.timit.phones import counted_phones
from recipes.timit.prepare import prepare


def main() -> None:
    parser = make_parser("recipes.timit.run", __doc__)
    add_corpus(parser)
    args = parser.parse_args()

    manifests = prepare(args.corpus, args.out / "manifests")
    config = configure("timit", args, train=manifests.train, dev=manifests.dev)
    model = train_model(config, args.out, device=args.device)
    results = {
        name: evaluate(model, manifest, out=args.out / "eval" / name, device=args.device)
        for name, manifest in (("dev", manifests.dev), ("core test", manifests.test))
    }
    counted = {name: score_together([r], change=counted_phones) for name, r in results.items()}
    print(render_error_table(counted), end="")


if __name__ == "__main__":
    sys.exit(run_recipe(main))
