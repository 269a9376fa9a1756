"""Copiste d'un jour: images of lines, from a folder to error rates, with and without an LM.

    python -m recipes.copiste.run --corpus DIR -o exp/copiste                judge on test
    python -m recipes.copiste.run --corpus DIR -o exp/copiste --on dev       judge on dev

The language model (words, order 3) knows the training texts, without the consent that all copied,
and `--text` files, a sentence a line; words that it does not know are spelt out. Its weights stand
in conf/copiste.yaml.

Measured error rates, run times and the commit that made them: RESULTS.md, beside this file.
"""

import sys
from pathlib import Path

from ctcasr.pipeline.evaluate import evaluate
from ctcasr.reporting import render_error_table
from recipes.copiste.prepare import prepare
from recipes.experiment import add_corpus, configure, make_parser, run_recipe, train_model
from recipes.words import open_searches

ORDER = 3


def main() -> None:
    parser = make_parser("recipes.copiste.run", __doc__)
    add_corpus(parser)
    parser.add_argument("--on", choices=("test", "dev"), default="test", help="what to judge on")
    parser.add_argument(
        "--text", type=Path, action="append", default=[], metavar="FILE", help="more to know"
    )
    args = parser.parse_args()

    manifests = prepare(args.corpus, args.out / "manifests")
    config = configure("copiste", args, train=manifests.train, dev=manifests.dev)
    model = train_model(config, args.out, device=args.device)
    searches = open_searches(
        [manifests.lm_text, *args.text],
        args.out / "lm" / "words.arpa",
        order=ORDER,
        weights=config.decode,
    )
    held_out = manifests.test if args.on == "test" else manifests.dev
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


if __name__ == "__main__":
    sys.exit(run_recipe(main))
