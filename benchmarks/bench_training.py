"""Our training loop against others: seconds of audio trained on per second, and the loss reached.

    python -m benchmarks.bench_training --corpus DIR --peers exp/training-peers [--quick]

Everyone trains the same network from the same first weights on AN4's 848 train_nodev utterances,
with the same optimizer, without augmentation, in the same number of passes and, as nearly as
batches of whole utterances allow, of steps:

    ctcasr          `ctcasr train` as it is: batches of similar length, dense, bf16 where it pays
    plain PyTorch   a loop as people write it: random batches of a fixed number of utterances,
                    torchaudio's features, nn.LSTM on packed sequences, fp32
    SpeechBrain     its Brain with dynamic batches, its features and layers; its recipes hand
                    nn.LSTM the batch with its padding, which the direction that reads backwards
                    begins in ("padding read"), and it can pack too

SpeechBrain lives in an environment of its own, which is made in the folder of `--peers` when it is
not there (requirements: training_peers.txt). Each contestant trains in a process by itself, on two
threads, with two more threads or processes that read ahead. The first pass, in which recordings are
decoded and caches filled, counts for nobody; of the others the median is given. Loss is the mean
over the last pass, while training, dropout included.

Then a step of ours is taken apart; see training_step.py.
"""

import argparse
import math
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.peers import prepare_peers, python_of, run_worker
from benchmarks.training_step import describe_step, take_steps
from benchmarks.training_work import Job, Pass, plain_weights
from ctcasr.alphabet import Alphabet
from ctcasr.config import RunConfig, parse_config
from ctcasr.frontends.sound.augmentation import NO_AUGMENTATION
from ctcasr.frontends.sound.spectral import FrontendConfig
from ctcasr.manifest import read_manifest, write_manifest
from ctcasr.models.network import Network
from ctcasr.pipeline.training_sets import prepare_sets
from ctcasr.training.loading import Labelled
from ctcasr.training.loop import seed_everything
from recipes.an4.prepare import prepare

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "training_peers.txt"
MODULES = ("torch", "torchaudio", "soundfile", "speechbrain")
THREADS = 2
CONFIG = {
    "data": {"batch_frames": 4_000},
    "encoder": {"layers": 3, "hidden": 256},
    "optim": {"peak_lr": 0.002, "warmup_steps": 60, "decay": "constant", "weight_decay": 0},
}
QUICK = ("encoder.hidden=16", "data.batch_frames=1500", "training.epochs=2")


@dataclass(frozen=True, slots=True)
class Contestant:
    """A way to train, under a name of its own."""

    name: str
    kind: str
    settings: dict[str, Any] = field(hash=False)


OURS = Contestant("ctcasr", "ctcasr", {"precision": "auto"})
OTHERS = (
    Contestant("ctcasr, fp32", "ctcasr", {"precision": "fp32"}),
    Contestant("plain PyTorch, packed, fp32", "plain", {}),
    Contestant(
        "SpeechBrain, padding read, fp32", "speechbrain", {"precision": "fp32", "packed": False}
    ),
    Contestant(
        "SpeechBrain, padding read, bf16", "speechbrain", {"precision": "bf16", "packed": False}
    ),
    Contestant("SpeechBrain, packed, fp32", "speechbrain", {"precision": "fp32", "packed": True}),
)


@dataclass(frozen=True, slots=True)
class Bench:
    """What is trained, and where."""

    peers: Path
    folder: Path
    config: RunConfig
    items: tuple[Labelled, ...]
    alphabet: Alphabet

    def train(self, who: Contestant, *, steps_per_epoch: int = 1) -> list[Pass]:
        """Train one contestant in a process of its own; return its passes but the first.

        Args:
            who: ctcasr plans its batches itself; the others are to take so many steps.
            steps_per_epoch: how many steps that is.
        """
        print(f"training: {who.name}", file=sys.stderr, flush=True)
        python = python_of(self.peers) if who.kind == "speechbrain" else Path(sys.executable)
        job = self._our_job(who) if who.kind == "ctcasr" else self._job(who, steps_per_epoch)
        worker = HERE / "training_worker.py"
        answer = run_worker(python, worker, job, name=who.name, threads=THREADS)
        return [Pass(**each) for each in answer][1:]

    def _our_job(self, who: Contestant) -> Job:
        values = self.config.model_dump(mode="json")
        values["training"] |= who.settings
        run = tempfile.mkdtemp(dir=self.folder)
        return {"contestant": who.kind, "seed": self.config.seed, "config": values, "run": run}

    def _job(self, who: Contestant, steps_per_epoch: int) -> Job:
        config = self.config
        frontend, encoder, optim = config.frontend, config.encoder, config.optim
        assert isinstance(frontend, FrontendConfig), "the contestants train on recordings"
        return {
            "contestant": who.kind,
            **who.settings,
            "seed": config.seed,
            "epochs": config.training.epochs,
            "workers": config.data.workers,
            "items": [
                {"audio": str(item.utterance.path), "labels": item.labels} for item in self.items
            ],
            "batch_size": math.ceil(len(self.items) / steps_per_epoch),
            "steps_per_epoch": steps_per_epoch,
            "weights": str(self._first_weights()),
            "sample_rate": frontend.sample_rate,
            "frontend": {
                "fft_size": frontend.fft_size,
                "window": frontend.window,
                "hop": frontend.hop,
                "num_mels": frontend.num_mels,
            },
            "network": {
                "num_features": frontend.num_features,
                "num_labels": len(self.alphabet),
                "stride": encoder.stride,
                "layers": encoder.layers,
                "hidden": encoder.hidden,
                "dropout": encoder.dropout,
            },
            "optim": {
                "peak_lr": optim.peak_lr,
                "warmup_steps": optim.warmup_steps,
                "betas": optim.betas,
                "max_grad_norm": optim.max_grad_norm,
            },
        }

    def _first_weights(self) -> Path:
        """Write the weights that ctcasr starts from, named as in the plain network."""
        seed_everything(self.config.seed)
        network = Network(
            self.config.encoder,
            num_features=self.config.frontend.num_features,
            num_labels=len(self.alphabet),
        )
        path = self.folder / "weights.npz"
        renamed = plain_weights(network.state_dict())
        np.savez(path, allow_pickle=False, **{name: t.numpy() for name, t in renamed.items()})
        return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder of AN4")
    parser.add_argument("--peers", type=Path, required=True, help="their environment's folder")
    parser.add_argument("--epochs", type=int, default=6, help="passes, the first not counted")
    parser.add_argument("--quick", action="store_true", help="very little: does it all run")
    args = parser.parse_args()
    if args.epochs < 2:
        parser.error("--epochs: give at least 2; the first is not counted")

    prepare_peers(args.peers, requirements=REQUIREMENTS, modules=MODULES)
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        bench = make_bench(args, Path(folder))
        for line in compare(bench):
            print(line, flush=True)
        print("\n### A step of ctcasr's\n")
        config, items = bench.config, bench.items
        for line in describe_step(take_steps(config, items, bench.alphabet)):
            print(line, flush=True)


def make_bench(args: argparse.Namespace, folder: Path) -> Bench:
    """Read the corpus and settle the configuration."""
    manifest = prepare(args.corpus, folder / "manifests").train_nodev
    utterances = read_manifest(manifest)
    if args.quick:
        utterances = utterances[:24]
        write_manifest(manifest, utterances)
    overrides = [f"training.epochs={args.epochs}", *(QUICK if args.quick else ())]
    config = parse_config(CONFIG, overrides=[f"data.train={manifest}", *overrides])
    config = config.model_copy(update={"augment": NO_AUGMENTATION})
    sets = prepare_sets(config, {"train": utterances})
    assert isinstance(sets.train, tuple)
    return Bench(args.peers, folder, config, sets.train, sets.alphabet)


def compare(bench: Bench) -> Iterator[str]:
    """Yield the rows of a Markdown table, with what was trained above it."""
    encoder, training = bench.config.encoder, bench.config.training
    seconds = sum(item.amount for item in bench.items)
    yield (
        f"## {platform.machine()}, {THREADS} threads, torch {torch.__version__}, median of "
        f"{training.epochs - 1} passes\n"
    )
    yield (
        f"AN4, {len(bench.items)} utterances, {seconds:,.0f} s; stacking {encoder.stride}, "
        f"{encoder.layers} x BLSTM-{encoder.hidden}, CTC, {len(bench.alphabet)} symbols.\n"
    )
    columns = ("trained by", "audio s/s", "range", "ctcasr / it", "steps", "padding", "last loss")
    yield f"| {' | '.join(columns)} |"
    yield "| --- |" + " ---: |" * (len(columns) - 1)
    ours = bench.train(OURS)
    yield row(OURS, ours, our_rate=median_rate(ours))
    for who in OTHERS:
        passes = bench.train(who, steps_per_epoch=ours[0].steps)
        yield row(who, passes, our_rate=median_rate(ours))


def row(who: Contestant, passes: list[Pass], *, our_rate: float) -> str:
    """Return a contestant's row of the table."""
    rates = [each.audio_rate for each in passes]
    steps = sorted({each.steps for each in passes})
    cells = (
        who.name,
        f"{median_rate(passes):,.1f}",
        f"{min(rates):,.1f} to {max(rates):,.1f}",
        f"{our_rate / median_rate(passes):.2f}",
        f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]}",
        f"{statistics.mean(each.padding for each in passes):.1%}",
        f"{passes[-1].loss:.3f}",
    )
    return f"| {' | '.join(cells)} |"


def median_rate(passes: list[Pass]) -> float:
    """Return the seconds of audio trained on per second."""
    return statistics.median(each.audio_rate for each in passes)


if __name__ == "__main__":
    main()
