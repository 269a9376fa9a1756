"""IAM-OnDB: lines of pen strokes, from a folder to error rates, with and without a language model.

    python -m recipes.iam_ondb.run --corpus DIR -o exp/iam [--text FILE ...]
    python -m recipes.iam_ondb.run --corpus DIR -o exp/iam-images --render

Learned from are the 5,364 lines of the training set; dev and dev2 are judged apart, and testset_f,
of which published figures are, where it is there. The language model (words, order 3) knows the
texts of training forms that share no text with another set, and `--text` files, a sentence a line;
words that it does not know are spelt out. Its weights stand in conf/iam_ondb.yaml.

With `--render` the same lines are drawn as images, and read as images (conf/iam_ondb_images.yaml);
`ctcasr compare` says where the two differ.

Measured error rates, run times and the commit that made them: RESULTS.md, beside this file.
"""

import sys
from dataclasses import replace
from pathlib import Path

from ctcasr.pipeline.evaluate import ReportOptions, evaluate
from ctcasr.reporting import render_error_table
from recipes.experiment import add_corpus, configure, make_parser, run_recipe, train_model
from recipes.iam_ondb.prepare import IamManifests, prepare
from recipes.iam_ondb.render import render_manifest
from recipes.words import open_searches

ORDER = 3


def main() -> None:
    parser = make_parser("recipes.iam_ondb.run", __doc__)
    add_corpus(parser)
    parser.add_argument(
        "--text", type=Path, action="append", default=[], metavar="FILE", help="more to know"
    )
    parser.add_argument("--render", action="store_true", help="learn from the ink drawn as images")
    args = parser.parse_args()

    manifests = prepare(args.corpus, args.out / "manifests")
    if args.render:
        manifests = render_all(manifests, args.out / "images")
    name = "iam_ondb_images" if args.render else "iam_ondb"
    config = configure(name, args, train=manifests.train, dev=manifests.watch)
    model = train_model(config, args.out, device=args.device)
    searches = open_searches(
        [manifests.lm_text, *args.text],
        args.out / "lm" / "words.arpa",
        order=ORDER,
        weights=config.decode,
    )
    sets = {"dev": manifests.dev, "dev2": manifests.dev2, "test": manifests.test}
    results = {
        f"{name}, {search}": evaluate(
            model,
            manifest,
            out=args.out / "eval" / f"{name}-{search.replace(' + ', '-').replace(' ', '-')}",
            device=args.device,
            decode=decode,
            options=ReportOptions(cluster="group"),  # a form is one person's
        )
        for name, manifest in sets.items()
        if manifest is not None
        for search, decode in searches.items()
    }
    print(render_error_table(results), end="")


def render_all(manifests: IamManifests, out: Path) -> IamManifests:
    """Return the manifests of the same lines as images, drawn into a folder."""
    sets = {name: getattr(manifests, name) for name in ("train", "watch", "dev", "dev2", "test")}
    drawn = {name: path and render_manifest(path, out) for name, path in sets.items()}
    return replace(manifests, **drawn)


if __name__ == "__main__":
    sys.exit(run_recipe(main))
