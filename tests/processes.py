"""Several processes that work as one, started as `torchrun` would, by fork and so at once.

Each runs the real command. What its trainer does is written down, and something may happen to one
of them in the middle of a step.
"""

import json
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import save_file
from torch import Tensor

from ctcasr.batching import Batch
from ctcasr.cli.app import main
from ctcasr.errors import TrainingError
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.models.network import Network
from ctcasr.training.loop import Trainer, _StepSums
from tests.kills import PRELOADED


@dataclass(frozen=True, slots=True)
class Mishap:
    """What happens in a process before a step, from 1.

    A signal, an `error` or a `bug`; or a file loses what it holds.
    """

    rank: int
    step: int
    what: signal.Signals | Path | str


@dataclass(frozen=True, slots=True)
class Ended:
    """How one of the processes ended.

    Attributes:
        status: its exit status; -9 where it was killed.
        out, err: what it said.
        taken: (epoch, ids) of its share of every step.
    """

    status: int
    out: str
    err: str
    taken: list[tuple[int, list[str]]]


def run_together(
    size: int, *arguments: object, aside: Path, mishap: Mishap | None = None, wide: bool = False
) -> list[Ended]:
    """Run a command in several processes; return how each ended.

    Args:
        size: how many.
        arguments: of `ctcasr`.
        aside: a folder for what they say and do.
        mishap: what happens to one of them.
        wide: train in float64, and keep the gradients of the first step.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    words = [str(argument) for argument in arguments]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes: list[BaseProcess] = []
    for rank in range(size):
        folder = aside / f"process-{rank}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "taken.jsonl").unlink(missing_ok=True)
        place: dict[str, Any] = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        place |= {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
        mine = mishap if mishap and mishap.rank == rank else None
        process: BaseProcess = context.Process(
            target=_obey, args=(words, folder, place, mine, wide)
        )
        process.start()
        processes.append(process)
    for process in processes:
        process.join()
    return [
        _read(process.exitcode or 0, aside / f"process-{rank}")
        for rank, process in enumerate(processes)
    ]


def _read(status: int, folder: Path) -> Ended:
    taken = folder / "taken.jsonl"
    lines = taken.read_text(encoding="utf-8").splitlines() if taken.exists() else []
    out, err = ((folder / name).read_text(encoding="utf-8") for name in ("out", "err"))
    return Ended(status, out, err, [tuple(json.loads(line)) for line in lines])


def _obey(
    words: list[str], folder: Path, place: dict[str, Any], mishap: Mishap | None, wide: bool
) -> None:
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.environ |= {name: str(value) for name, value in place.items()}
    torch.set_num_threads(1)
    _put(Trainer, "_add_gradients", _watched(Trainer._add_gradients, folder, mishap))
    if wide:
        _compute_in_float64(folder)
    sys.argv = ["ctcasr", *words]
    sys.exit(main(words))


_AddGradients = Callable[[Trainer, Batch, Sequence[int]], _StepSums]


def _watched(inner: _AddGradients, folder: Path, mishap: Mishap | None) -> _AddGradients:
    def add_gradients(self: Trainer, batch: Batch, counts: Sequence[int]) -> _StepSums:
        if mishap is not None and mishap.step == self.progress.step + 1:
            if mishap.what == "error":
                raise TrainingError("no luck today; try again tomorrow")
            if mishap.what == "bug":
                raise ValueError("nobody thought of this")
            if isinstance(mishap.what, Path):
                mishap.what.write_bytes(b"")
            if isinstance(mishap.what, signal.Signals):
                os.kill(os.getpid(), mishap.what)
        with (folder / "taken.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps([self.progress.epoch, batch.ids]) + "\n")
        return inner(self, batch, counts)

    return add_gradients


def _compute_in_float64(folder: Path) -> None:
    """Keep the first step's gradients, as they are summed, in gradients.safetensors."""
    extract, step = FeatureExtractor.forward, Trainer._step

    def forward(self: FeatureExtractor, waveforms: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
        return extract(self.double(), waveforms.double(), *others)

    def first_step(self: Trainer, batch: Batch, num_batches: int) -> None:
        step(self, batch, num_batches)
        if self.progress.step == 1:
            named = self.network.named_parameters()
            gradients = {name: p.grad for name, p in named if p.grad is not None}
            save_file(gradients, folder / "gradients.safetensors")

    make = Network.__init__

    def init(self: Network, *args: Any, **others: Any) -> None:
        make(self, *args, **others)
        self.double()

    _put(FeatureExtractor, "forward", forward)
    _put(Trainer, "_step", first_step)
    _put(Network, "__init__", init)


def _put(owner: type, name: str, method: Callable[..., Any]) -> None:
    """Put a method in place of another for the rest of the process."""
    mock.patch.object(owner, name, method).start()
