"""LibriSpeech: from read books to error rates without a language model. Not run here yet.

    python -m recipes.librispeech.run --corpus DIR -o exp/librispeech --device cuda

DIR holds train-clean-100, dev-clean and the tests, or whichever parts were downloaded.
"""

import sys

from ctcasr.pipeline.evaluate import evaluate
from ctcasr.reporting import render_error_table
from recipes.experiment import add_corpus, configure, make_parser, run_recipe, train_model
from recipes.librispeech.prepare import prepare


def main() -> None:
    parser = make_parser("recipes.librispeech.run", __doc__)
    add_corpus(parser)
    args = parser.parse_args()

    manifests = prepare(args.corpus, args.out / "manifests")
    config = configure("librispeech", args, train=manifests.train, dev=manifests.dev)
    model = train_model(config, args.out, device=args.device)
    held_out = {"dev-clean": manifests.dev, **manifests.tests}
    results = {
        name: evaluate(model, manifest, out=args.out / "eval" / name, device=args.device)
        for name, manifest in held_out.items()
    }
    print(render_error_table(results), end="")


if __name__ == "__main__":
    sys.exit(run_recipe(main))
