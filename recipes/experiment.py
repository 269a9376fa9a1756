"""What the run.py files share: their arguments, configuration, training, and how they end.

    python -m recipes.NAME.run --corpus DIR -o OUT [--seed N] [--set KEY=VALUE ...] [--device D]

OUT becomes a run folder, so `ctcasr transcribe -m OUT recording.wav` uses the model afterwards;
manifests lie in OUT/manifests, results in OUT/eval. The same command on the same OUT goes on where
it was interrupted.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from ctcasr.config import RunConfig, load_config
from ctcasr.errors import CtcasrError
from ctcasr.pipeline.run_log import describe_epoch
from ctcasr.pipeline.train import train
from ctcasr.training.interruption import Interrupted
from ctcasr.training.metrics import EpochReport, StepReport

CONF = Path(__file__).resolve().parents[1] / "conf"


def make_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the arguments that all recipes have, except `--corpus`.

    Args:
        module: what stands behind `python -m`.
        description: the module's docstring.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--seed", type=int, help="of every random draw (the configuration's)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one key of the configuration; may be given several times",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    return parser


def add_corpus(parser: argparse.ArgumentParser) -> None:
    """Add `--corpus DIR`, for recipes that read one corpus."""
    parser.add_argument(
        "--corpus", type=Path, required=True, metavar="DIR", help="the corpus as downloaded"
    )


def configure(
    name: str,
    args: argparse.Namespace,
    *,
    train: Path,
    dev: Path | None = None,
) -> RunConfig:
    """Return conf/NAME.yaml with this run's manifests, `--seed` and `--set`, the last strongest.

    Args:
        name: of the configuration.
        args: of the command line.
        train: manifest to learn from.
        dev: manifest to judge on after each epoch.

    Raises:
        ConfigError: see `load_config`.
    """
    # JSON strings are YAML strings too, whatever stands in a path.
    overrides = [f"data.train={json.dumps(str(train))}"]
    if dev is not None:
        overrides.append(f"data.dev={json.dumps(str(dev))}")
    if args.seed is not None:
        overrides.append(f"seed={args.seed}")
    return load_config(CONF / f"{name}.yaml", overrides=[*overrides, *args.set])


def train_model(config: RunConfig, run: Path, *, device: str) -> Path:
    """Train, or go on training, in a run folder and return the model file.

    Raises:
        CtcasrError, Interrupted: see `ctcasr.pipeline.train.train`.
    """
    return train(config, run=run, resume=True, device=device, observer=EpochLines())


class EpochLines:
    """Watches a training: one line on stderr per epoch."""

    def on_step(self, report: StepReport) -> None:
        """Say nothing."""

    def on_epoch(self, report: EpochReport) -> None:
        """Print the epoch's line."""
        print(describe_epoch(report), file=sys.stderr, flush=True)

    def on_warning(self, message: str) -> None:
        """Print the warning."""
        print(f"warning: {message}", file=sys.stderr, flush=True)


def run_recipe(main: Callable[[], None]) -> int:
    """Run a recipe and return its exit status; mistakes end in one line, as with `ctcasr`."""
    try:
        main()
    except CtcasrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Interrupted as interruption:
        print(f"{interruption}; the same command goes on from here", file=sys.stderr)
        return 128 + interruption.signal_number
    except KeyboardInterrupt:
        return 130
    return 0
