"""Checkpoints: everything a run needs to go on as if it had never stopped.

A checkpoint is a folder, `checkpoints/step-00001200/`, of two files: `state.safetensors` (weights
and optimizer moments) and `state.json` (position, history, the other file's SHA-256). The JSON is
written last and atomically, so a folder without it, or whose sum disagrees, was cut short and is
passed over by name. Nothing is pickled. Draws are keyed by position, so no generator state is kept.

Averaging weights over checkpoints: Polyak and Juditsky 1992; Vaswani et al. 2017, section 6.1.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ctcasr.errors import RunFolderError
from ctcasr.files import atomic_write, write_text

_TENSORS = "state.safetensors"
_FACTS = "state.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One saved state.

    Attributes:
        folder: where it lies.
        facts: everything but tensors, as it was given.
    """

    folder: Path
    facts: Mapping[str, Any]

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names start with `prefix`, without it."""
        with safe_open(self.folder / _TENSORS, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}


def save_checkpoint(
    run: Path, *, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> Checkpoint:
    """Write a checkpoint of `step`; a folder of the same step is replaced.

    Raises:
        OutputError: it cannot be written; the checkpoints before it are untouched.
    """
    folder = run / "checkpoints" / f"step-{step:08d}"
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    with atomic_write(folder / _TENSORS) as file:
        file.write(content)
    facts = {"step": step, **facts, "sha256": hashlib.sha256(content).hexdigest()}
    write_text(folder / _FACTS, json.dumps(facts, indent=1, sort_keys=True) + "\n")
    return Checkpoint(folder, facts)


def list_checkpoints(run: Path) -> list[Path]:
    """Return the checkpoint folders of a run, oldest first, whole or not."""
    return sorted((run / "checkpoints").glob("step-" + 8 * "[0-9]"))


def load_checkpoint(folder: Path) -> Checkpoint:
    """Open one checkpoint and check its sum.

    Raises:
        RunFolderError: it was cut short or changed.
    """
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        found = hashlib.sha256((folder / _TENSORS).read_bytes()).hexdigest()
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{folder}: checkpoint cut short ({error})") from error
    if found != facts.get("sha256"):
        raise RunFolderError(f"{folder}: {_TENSORS} does not match its recorded SHA-256")
    return Checkpoint(folder, facts)


def latest_checkpoint(run: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest whole checkpoint, and a line for each newer one that is not."""
    broken: list[str] = []
    for folder in reversed(list_checkpoints(run)):
        try:
            return load_checkpoint(folder), broken
        except RunFolderError as error:
            broken.append(f"{error}; it is passed over")
    return None, broken


def prune_checkpoints(run: Path, *, keep: set[int]) -> None:
    """Delete the checkpoints of a run whose steps are not in `keep`."""
    for folder in list_checkpoints(run):
        if int(folder.name.removeprefix("step-")) not in keep:
            shutil.rmtree(folder, ignore_errors=True)


def average_weights(checkpoints: Sequence[Checkpoint], prefix: str = "model.") -> dict[str, Tensor]:
    """Return the mean of the weights of several checkpoints, computed in float64.

    Raises:
        RunFolderError: a checkpoint cannot be read.
    """
    total: dict[str, Tensor] = {}
    try:
        for checkpoint in checkpoints:
            for name, tensor in checkpoint.tensors(prefix).items():
                wide = tensor.to(torch.float64)
                total[name] = total[name] + wide if name in total else wide
    except (OSError, SafetensorError) as error:
        raise RunFolderError(f"{checkpoint.folder}: cannot be read ({error})") from error
    return {name: (tensor / len(checkpoints)).float() for name, tensor in total.items()}
