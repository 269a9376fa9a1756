"""AN4: what single choices of a training do, each alone, on ESPnet's train_dev.

    python -m recipes.an4.choices --corpus DIR -o exp/choices [--only NAME ...]

A row is the recipe's first model (conf/an4_first.yaml, 12 epochs) on 848 utterances with one key
changed, and what the 100 others say of its last epoch: enough to rank choices of how to begin and
what to minimise, not to reach what the recipe reaches. A row needs 3 to 5 minutes of one core and
under 2 GB. `again` and `freeze-...` go on from the model of `base`, for as long once more.

Measured rows and the commit that made them: RESULTS.md, beside this file.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctcasr.errors import ConfigError
from ctcasr.pipeline.run_record import RunRecord, read_run
from recipes.an4.prepare import prepare
from recipes.experiment import add_corpus, configure, make_parser, run_recipe, train_model

COMMON = ("training.average=1", "training.deterministic=true")
"""Of every row: the last epoch, and no timing that decides how one is computed."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One row.

    Attributes:
        name: of its run folder.
        what: is chosen, in words.
        settings: KEY=VALUE of each key that differs from the configuration.
        after: name of the row whose model it starts from.
    """

    name: str
    what: str
    settings: tuple[str, ...] = ()
    after: str | None = None


CHOICES = (
    Choice("base", "none: Xavier for inputs, orthogonal for states, forget bias 1, start at zero"),
    Choice("input-he", "He for inputs", ("encoder.init.input=he",)),
    Choice("input-lecun", "LeCun for inputs", ("encoder.init.input=lecun",)),
    Choice("input-orthogonal", "orthogonal for inputs", ("encoder.init.input=orthogonal",)),
    Choice("recurrent-xavier", "Xavier for states", ("encoder.init.recurrent=xavier",)),
    Choice("recurrent-he", "He for states", ("encoder.init.recurrent=he",)),
    Choice("forget-0", "forget bias 0", ("encoder.init.forget_bias=0",)),
    Choice("start-learned", "learned start state", ("encoder.start_state=learned",)),
    Choice("intermediate", "intermediate CTC", ("heads.ctc.intermediate_layers=[2]",)),
    Choice("smoothing", "label smoothing", ("heads.ctc.label_smoothing=0.05",)),
    Choice("ema", "exponential moving average", ("training.ema_decay=0.99",)),
    Choice("again", "twelve more epochs from base, all weights free", after="base"),
    Choice(
        "freeze-first",
        "the same, first layer frozen",
        ("optim.freeze=[encoder.layers.0.*]",),
        after="base",
    ),
    Choice(
        "freeze-encoder",
        "the same, all but the output layer frozen",
        ("optim.freeze=[encoder.*]",),
        after="base",
    ),
)


def main() -> None:
    parser = make_parser("recipes.an4.choices", __doc__)
    add_corpus(parser)
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help=f"rows: {', '.join(c.name for c in CHOICES)}"
    )
    args = parser.parse_args()

    manifests = prepare(args.corpus, args.out / "manifests")
    rows = []
    for choice in choose(args.only):
        run = args.out / choice.name
        config = configure(
            "an4_first",
            argparse.Namespace(seed=args.seed, set=[*settings_of(choice, args.out), *args.set]),
            train=manifests.train_nodev,
            dev=manifests.train_dev,
        )
        train_model(config, run, device=args.device)
        rows.append(render_row(choice, read_run(run)))
    print("| choice | --set | CER % | WER % | seconds |\n| --- | --- | ---: | ---: | ---: |")
    print("\n".join(rows))


def choose(names: Sequence[str] | None) -> list[Choice]:
    """Return the rows of these names, in the table's order; all where none are named.

    Raises:
        ConfigError: a name is no row's.
    """
    known = [choice.name for choice in CHOICES]
    for name in names or ():
        if name not in known:
            raise ConfigError(f"--only {name}: no such row; there are: {', '.join(known)}")
    return [choice for choice in CHOICES if names is None or choice.name in names]


def settings_of(choice: Choice, out: Path) -> list[str]:
    """Return what a row sets: what all set, its own keys, and the model it starts from."""
    before = []
    if choice.after is not None:
        before = [f"training.init_from={json.dumps(str(out / choice.after))}"]
    return [*COMMON, *choice.settings, *before]


def render_row(choice: Choice, run: RunRecord) -> str:
    """Return a row of the table: the last epoch on dev, and processor seconds of all epochs."""
    keys = ", ".join(f"`{setting}`" for setting in choice.settings)
    scores = run.facts["scores"]
    seconds = sum(epoch.cpu_seconds for epoch in run.epochs)
    return (
        f"| {choice.what} | {keys} | {100 * scores['dev_cer']:.2f} | "
        f"{100 * scores['dev_wer']:.2f} | {seconds:.0f} |"
    )


if __name__ == "__main__":
    sys.exit(run_recipe(main))
