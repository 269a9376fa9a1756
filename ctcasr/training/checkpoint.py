"""Checkpoints: everything a run needs to go on as if it had never stopped.

A checkpoint is a folder, `checkpoints/step-00001200/`, of two files: `state.safetensors` (weights
and optimizer moments) and `state.json` (position, history, what the run is, SHA-256 of both).
It is written under another name and gets its own when it is whole, so a process killed meanwhile
leaves no half checkpoint. One whose sums disagree has been damaged since, and is passed over by
name. Nothing is pickled. Draws are keyed by position, so no generator state is kept.

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

from ctcasr.errors import OutputError, RunFolderError
from ctcasr.files import atomic_write, unfinished_name, write_text

_FORMAT = 1
_TENSORS = "state.safetensors"
_FACTS = "state.json"


class CheckpointFormatError(RunFolderError):
    """A checkpoint is whole, but not of this release."""


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


def checkpoint_folder(run: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return run / "checkpoints" / f"step-{step:08d}"


def save_checkpoint(
    run: Path, *, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> Checkpoint:
    """Write a checkpoint of `step`; one of the same step is replaced.

    Raises:
        OutputError: it cannot be written; the checkpoints before it are untouched.
    """
    folder = checkpoint_folder(run, step)
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    facts = {
        **facts,
        "format": _FORMAT,
        "step": step,
        "tensors_sha256": hashlib.sha256(content).hexdigest(),
    }
    facts["sha256"] = _sum_of(facts)
    text = json.dumps(facts, indent=1, sort_keys=True) + "\n"
    if _holds(folder, content):  # an epoch's last step, saved once more now that it was judged
        write_text(folder / _FACTS, text)
    else:
        _write_folder(folder, content, text)
    return Checkpoint(folder, facts)


def list_checkpoints(run: Path) -> list[Path]:
    """Return the checkpoint folders of a run, oldest first, damaged ones too."""
    return sorted((run / "checkpoints").glob("step-" + 8 * "[0-9]"))


def load_checkpoint(folder: Path) -> Checkpoint:
    """Open one checkpoint and check its sums.

    Raises:
        RunFolderError: it is damaged, or of a format that this release does not read.
    """
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        found = hashlib.sha256((folder / _TENSORS).read_bytes()).hexdigest()
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{folder}: cannot be read ({error})") from error
    if not isinstance(facts, dict) or facts.get("sha256") != _sum_of(facts):
        raise RunFolderError(f"{folder}: {_FACTS} does not match its recorded SHA-256")
    if facts["format"] != _FORMAT:
        raise CheckpointFormatError(
            f"{folder}: checkpoint format {facts['format']}, this release reads {_FORMAT}; go on "
            f"with the release that wrote it, or begin in another folder"
        )
    if found != facts["tensors_sha256"]:
        raise RunFolderError(f"{folder}: {_TENSORS} does not match its recorded SHA-256")
    return Checkpoint(folder, facts)


def latest_checkpoint(run: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest whole checkpoint, and a line for each newer one that is damaged.

    Raises:
        RunFolderError: there are checkpoints and all are damaged, or the newest whole one is of a
            format that this release does not read.
    """
    damaged: list[str] = []
    for folder in reversed(list_checkpoints(run)):
        try:
            return load_checkpoint(folder), damaged
        except CheckpointFormatError:
            raise
        except RunFolderError as error:
            damaged.append(f"{error}; it is passed over")
    if damaged:
        newest = damaged[0].removesuffix("; it is passed over")
        raise RunFolderError(
            f"{run}: none of its {len(damaged)} checkpoints is whole; the newest: {newest}; put "
            f"one back, or begin in another folder"
        )
    return None, []


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


def _sum_of(facts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all facts but itself, however the JSON is laid out."""
    others = {key: value for key, value in facts.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def _holds(folder: Path, content: bytes) -> bool:
    """Return whether a checkpoint with these very tensors stands there."""
    try:
        return (folder / _TENSORS).read_bytes() == content
    except OSError:
        return False


def _write_folder(folder: Path, content: bytes, facts: str) -> None:
    unfinished = unfinished_name(folder)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with atomic_write(unfinished / _TENSORS) as file:
            file.write(content)
        write_text(unfinished / _FACTS, facts)
        if folder.is_dir():
            shutil.rmtree(folder)
        unfinished.replace(folder)
    except (OSError, OutputError) as error:
        cause = error.__cause__ if isinstance(error, OutputError) else error
        reason = cause.strerror if isinstance(cause, OSError) else cause
        raise OutputError(
            f"{folder}: cannot be written ({reason}); the checkpoints before it are whole; free "
            f"some space, and go on with --resume"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
