"""FSDD: how well are digits recognized, of known speakers, of unknown ones, and in strings?

    python -m recipes.fsdd.run --corpus DIR -o exp/fsdd --task TASK

`official` learns from everybody and is judged on everybody's test digits; `concat` judges the same
model on strings of them; `loso` trains six models, each judged by the speaker it did not hear
(`--speaker NAME`: one of them). `choose` leaves the test alone: it learns from a part of the
training set and is judged on the rest, to choose settings for known speakers by.

Two tasks write no text, but give one label to each recording: `digits` asks which digit it is, of a
speaker who was not heard, as `loso` does; `speakers` asks who speaks, of the official test.

The exact-string figure is the sentence error rate: an extra digit makes the whole string wrong.
Measured error rates, run times and the commit that made them: RESULTS.md, beside this file.
"""

import argparse
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ctcasr.errors import ConfigError
from ctcasr.pipeline.evaluate import evaluate
from ctcasr.reporting import render_error_table
from ctcasr.scoring import Results
from recipes.experiment import add_corpus, configure, make_parser, run_recipe, train_model
from recipes.fsdd.prepare import FsddManifests, prepare

TASKS = ("official", "concat", "loso", "choose", "digits", "speakers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A model to train, or to take up again, and a set to judge it on."""

    name: str
    config: str
    run: str
    train: Path
    test: Path


def main() -> None:
    args = parse_args()
    manifests = prepare(args.corpus, args.out / "manifests")
    results = {plan.name: learn_and_judge(args, plan) for plan in make_plans(args, manifests)}
    print(render_error_table(results), end="")


def parse_args() -> argparse.Namespace:
    parser = make_parser("recipes.fsdd.run", __doc__)
    add_corpus(parser)
    parser.add_argument("--task", choices=TASKS, default="official")
    parser.add_argument("--speaker", help="leave out this speaker only; for loso and digits")
    return parser.parse_args()


def make_plans(args: argparse.Namespace, manifests: FsddManifests) -> list[Experiment]:
    """Return what the task asks for."""
    known = partial(Experiment, config="fsdd_known")
    official, choice = manifests.official, manifests.choice
    if args.task == "official":
        return [known(name="official", run="official", train=official.train, test=official.test)]
    if args.task == "concat":
        return [known(name="strings", run="official", train=official.train, test=manifests.strings)]
    if args.task == "choose":
        return [known(name="choose", run="choose", train=choice.train, test=choice.test)]
    if args.task == "speakers":
        return [
            Experiment(
                name="speakers",
                config="fsdd_speaker",
                run="speakers",
                train=official.train,
                test=official.test,
            )
        ]
    speakers = [args.speaker] if args.speaker else list(manifests.folds)
    if args.speaker and args.speaker not in manifests.folds:
        everybody = ", ".join(manifests.folds)
        raise ConfigError(
            f"--speaker {args.speaker}: nobody is called so; choose from: {everybody}"
        )
    return [
        Experiment(
            name=name,
            config="fsdd_digit" if args.task == "digits" else "fsdd",
            run=f"digits-without-{name}" if args.task == "digits" else f"without-{name}",
            train=manifests.folds[name].train,
            test=manifests.folds[name].test,
        )
        for name in speakers
    ]


def learn_and_judge(args: argparse.Namespace, plan: Experiment) -> Results:
    config = configure(plan.config, args, train=plan.train)
    run = args.out / plan.run
    model = train_model(config, run, device=args.device)
    return evaluate(model, plan.test, out=run / "eval" / plan.name, device=args.device)


if __name__ == "__main__":
    sys.exit(run_recipe(main))
