"""FSDD: how well are digits recognized, of known speakers, of unknown ones, and in strings?

    python -m recipes.fsdd.run --corpus DIR -o exp/fsdd --task official|concat|loso

`official` learns from everybody and is judged on everybody's test digits; `concat` judges the same
model on strings of them; `loso` trains six models, each judged by the speaker it did not hear
(`--speaker NAME`: one of them).

The exact-string figure is the sentence error rate: an extra digit makes the whole string wrong.
Measured error rates, run times and the commit that made them: RESULTS.md, beside this file.
"""

import argparse
import sys
from pathlib import Path

from ctcasr.errors import ConfigError
from ctcasr.pipeline.evaluate import evaluate
from ctcasr.reporting import render_error_table
from ctcasr.scoring import Results
from recipes.experiment import add_corpus, configure, make_parser, run_recipe, train_model
from recipes.fsdd.prepare import FsddManifests, prepare


def main() -> None:
    args = parse_args()
    manifests = prepare(args.corpus, args.out / "manifests")
    results = {
        name: learn_and_judge(args, run, train=train, name=name, test=test)
        for name, run, train, test in plan(args, manifests)
    }
    print(render_error_table(results), end="")


def parse_args() -> argparse.Namespace:
    parser = make_parser("recipes.fsdd.run", __doc__)
    add_corpus(parser)
    parser.add_argument("--task", choices=("official", "concat", "loso"), default="official")
    parser.add_argument("--speaker", help="leave out this speaker only; for --task loso")
    return parser.parse_args()


def plan(args: argparse.Namespace, manifests: FsddManifests) -> list[tuple[str, str, Path, Path]]:
    """Return what to do, as (name, run folder, what to learn from, what to judge on)."""
    if args.task == "official":
        return [("official", "official", manifests.train, manifests.test)]
    if args.task == "concat":
        return [("strings", "official", manifests.train, manifests.strings)]
    speakers = [args.speaker] if args.speaker else list(manifests.folds)
    if args.speaker and args.speaker not in manifests.folds:
        known = ", ".join(manifests.folds)
        raise ConfigError(f"--speaker {args.speaker}: nobody is called so; choose from: {known}")
    folds = manifests.folds
    return [(name, f"without-{name}", folds[name].train, folds[name].test) for name in speakers]


def learn_and_judge(
    args: argparse.Namespace, run: str, *, train: Path, name: str, test: Path
) -> Results:
    config = configure("fsdd", args, train=train)
    model = train_model(config, args.out / run, device=args.device)
    return evaluate(model, test, out=args.out / run / "eval" / name, device=args.device)


if __name__ == "__main__":
    sys.exit(run_recipe(main))
