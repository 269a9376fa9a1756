"""IAM-OnDB: lines of pen strokes, from a folder to error rates, with and without a language model.

    python -m recipes.iam_ondb.run --corpus DIR -o exp/iam [--text FILE ...]

Learned from are the 5,364 lines of the training set; dev and dev2 are judged apart, and testset_f,
of which published figures are, where it is there. The language model (words, order 3) knows the
texts of training forms that share no text with another set, and `--text` files, a sentence a line;
words that it does not know are spelt out. Its weights stand in conf/iam_ondb.yaml.

Measured error rates, run times and the commit that made them: RESULTS.md, beside this file.
"""

import sys
from pathlib import Path

from ctcasr.bundle import load
from ctcasr.config import DecodeConfig
from ctcasr.decoding.tokens import Tokens
from ctcasr.pipeline.evaluate import evaluate
from ctcasr.pipeline.language_model import train_language_model
from ctcasr.pipeline.outputs import Existing
from ctcasr.reporting import render_error_table
from recipes.experiment import add_corpus, configure, make_parser, run_recipe, train_model
from recipes.iam_ondb.prepare import prepare

ORDER = 3


def main() -> None:
    parser = make_parser("recipes.iam_ondb.run", __doc__)
    add_corpus(parser)
    parser.add_argument(
        "--text", type=Path, action="append", default=[], metavar="FILE", help="more to know"
    )
    args = parser.parse_args()

    manifests = prepare(args.corpus, args.out / "manifests")
    config = configure("iam_ondb", args, train=manifests.train, dev=manifests.watch)
    model = train_model(config, args.out, device=args.device)
    lm = args.out / "lm" / "words.arpa"
    texts = [manifests.lm_text, *args.text]
    train_language_model(texts, lm, order=ORDER, tokens=Tokens(), existing=Existing.OVERWRITE)
    weights = load(model, device=args.device).config.decode
    searches = {
        "best path": DecodeConfig(),
        "prefix beam": DecodeConfig(beam=16),
        "prefix beam + LM": DecodeConfig(
            lm=str(lm), alpha=weights.alpha, beta=weights.beta, unknown=weights.unknown
        ),
    }
    sets = {"dev": manifests.dev, "dev2": manifests.dev2, "test": manifests.test}
    results = {
        f"{name}, {search}": evaluate(
            model,
            manifest,
            out=args.out / "eval" / f"{name}-{search.replace(' + ', '-').replace(' ', '-')}",
            device=args.device,
            decode=decode,
        )
        for name, manifest in sets.items()
        if manifest is not None
        for search, decode in searches.items()
    }
    print(render_error_table(results), end="")


if __name__ == "__main__":
    sys.exit(run_recipe(main))
