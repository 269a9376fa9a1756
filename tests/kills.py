"""Training that is killed: the real command in a process of its own, and SIGKILL at a chosen line.

A server process that has imported torch forks a child for every command, so that a run costs no
start. The child counts the lines of Python that its main thread executes in what writes a run, by
where the run is, and at the line it was told kills its process group: itself, and its loading
threads in the midst of whatever they do. Or it is killed from outside, by the clock.
"""

import json
import multiprocessing
import os
import re
import signal
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

import ctcasr.files
import ctcasr.pipeline.run_folder
import ctcasr.pipeline.run_log
import ctcasr.pipeline.train
import ctcasr.training.checkpoint
import ctcasr.training.loading
import ctcasr.training.loop
import ctcasr.training.metrics
from ctcasr.cli.app import main

PLACES = ("start", "step", "edge", "save", "finish")
"""Before the first step; from a step to the next; between two epochs; inside a checkpoint's
writing; after the last epoch."""

_WATCHED = {
    module.__file__
    for module in (
        *(ctcasr.files, ctcasr.training.checkpoint, ctcasr.training.loading, ctcasr.training.loop),
        *(ctcasr.training.metrics, ctcasr.pipeline.run_folder, ctcasr.pipeline.run_log),
        ctcasr.pipeline.train,
    )
}
# torch imports its compiler when the first optimizer is made.
PRELOADED = ["tests.kills", "ctcasr.cli.train", "torch._dynamo", "rich.progress"]
_BEGINS = {"_step": "step", "score_dev": "edge", "average_weights": "finish"}
_CONFIG = """
data: {{train: {root}/tones.jsonl, dev: {root}/tones.jsonl, batch_size: 2, workers: 2}}
frontend: {{sample_rate: 8000, num_mels: 20}}
augment: {{speed: [0.9, 1.1], noise_probability: 0.5, join_items: 2}}
encoder: {{layers: 1, hidden: 16, stride: 2, dropout: 0.2}}
optim: {{peak_lr: 0.02, warmup_steps: 5}}
training:
  {{epochs: 3, average: 2, ema_decay: 0.9, precision: fp32, checkpoint_minutes: {minutes}}}
"""


@dataclass(frozen=True, slots=True)
class Kill:
    """Where a run is killed: at the n-th line, from 1, that it executes in a place."""

    place: str
    line: int


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended.

    Attributes:
        status: its exit status; -9 where it was killed.
        said: on standard error.
        lines: executed in each place; empty where it was killed.
    """

    status: int
    said: str
    lines: dict[str, int]


def write_config(root: Path, *, minutes: float) -> Path:
    """Write the configuration of a run over the tones in `root`; return its path."""
    path = root / f"every-{minutes}.yaml"
    path.write_text(_CONFIG.format(root=root.as_posix(), minutes=minutes), encoding="utf-8")
    return path


def run_command(*arguments: object, aside: Path, kill: Kill | float | None = None) -> Done:
    """Run a command in a process of its own.

    Args:
        arguments: of `ctcasr`.
        aside: a folder for what it says.
        kill: where it is killed, if it gets there; or after so many seconds, if it takes them.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    words = [str(argument) for argument in arguments]
    line = kill if isinstance(kill, Kill) else None
    process = context.Process(target=_obey, args=(words, aside, line))
    process.start()
    if isinstance(kill, float):
        process.join(kill)
        process.kill()  # its threads go with it
    process.join()
    said, counts = aside / "stderr", aside / "lines.json"
    return Done(
        process.exitcode or 0,
        _text(said) if said.exists() else "",
        json.loads(_text(counts)) if process.exitcode == 0 else {},
    )


def left_behind(run: Path) -> dict[str, Any]:
    """Return what a run leaves behind, without what clocks say; report.html is made of it."""
    log = re.sub(r"\d+ audio s/s|waiting [\d.]+%|[\d.]+ s(?=,|\n)", "", _text(run / "log.txt"))
    metrics = [json.loads(line) for line in _text(run / "metrics.jsonl").splitlines()]
    for record in metrics:
        for clock in ("throughput", "waiting", "seconds", "cpu_seconds"):
            del record[clock]
    files = [path for path in run.rglob("*") if path.is_file()]
    return {
        "log": log,
        "metrics": metrics,
        "status": json.loads(_text(run / "run.json"))["status"],
        "names": sorted(path.relative_to(run).as_posix() for path in files),
        "tensors": {
            path.relative_to(run).as_posix(): path.read_bytes()
            for path in files
            if path.suffix == ".safetensors"
        },
    }


class _Lines:
    """Counts the lines of watched files by place; kills at one of them."""

    def __init__(self, kill: Kill | None) -> None:
        self.counts: Counter[str] = Counter()
        self._kill = kill
        self._place = "start"
        self._is_saving = False

    def __call__(self, frame: FrameType, event: str, _argument: object) -> "_Lines | None":
        if frame.f_code.co_filename not in _WATCHED:
            return None
        name = frame.f_code.co_name
        if name == "save_checkpoint" and event in ("call", "return"):
            self._is_saving = event == "call"
        elif event == "call" and name in _BEGINS and self._place != "finish":
            self._place = _BEGINS[name]
        elif event == "line":
            place = "save" if self._is_saving else self._place
            self.counts[place] += 1
            if self._kill == Kill(place, self.counts[place]):
                os.killpg(os.getpgrp(), signal.SIGKILL)
        return self


def _obey(words: list[str], aside: Path, kill: Kill | None) -> None:
    os.setsid()
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(aside / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    torch.set_num_threads(1)
    sys.argv = ["ctcasr", *words]
    lines = _Lines(kill)
    sys.settrace(lines)
    status = main(words)
    sys.settrace(None)
    (aside / "lines.json").write_text(json.dumps(lines.counts), encoding="utf-8")
    sys.exit(status)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
