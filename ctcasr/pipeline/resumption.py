"""Going on from a checkpoint: what must be as it was, and what may change a run's last bits."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ctcasr.alphabet import Alphabet
from ctcasr.config import RunConfig
from ctcasr.errors import RunFolderError
from ctcasr.pipeline.provenance import versions
from ctcasr.pipeline.run_folder import changed_keys
from ctcasr.training.checkpoint import Checkpoint
from ctcasr.training.computing import Computing


def describe_run(
    config: RunConfig,
    alphabet: Alphabet,
    device: torch.device,
    computing: Computing,
    *,
    classes: Sequence[str] = (),
    frame_classes: Sequence[str] = (),
    processes: int = 1,
) -> dict[str, Any]:
    """Return what a run is, for its checkpoints: plain values."""
    found = versions()
    return {
        "config": config.model_dump(mode="json"),
        "labels": list(alphabet.labels),
        "classes": list(classes),
        "frame_classes": list(frame_classes),
        "setting": {
            "ctcasr": found["ctcasr"],
            "torch": found["torch"],
            "threads": computing.threads,
            "processes": processes,
            "device": device.type,
            "bf16": computing.bf16,
        },
    }


def require_same_run(checkpoint: Checkpoint, now: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of another run.

    Args:
        checkpoint: the one to go on from; `describe_run` was told it when it was written.
        now: the same of the run that would go on.

    Raises:
        RunFolderError: settings or labels differ.
    """
    before = checkpoint.facts["run"]
    changed = changed_keys(before["config"], now["config"])
    if changed:
        raise RunFolderError(
            f"{checkpoint.folder}: of another run, since these keys differ: {', '.join(changed)}; "
            f"set them back, or begin in another folder"
        )
    _require_same_labels(checkpoint, now)


def _require_same_labels(checkpoint: Checkpoint, now: Mapping[str, Any]) -> None:
    before = checkpoint.facts["run"]
    for kind, what, source in (
        ("labels", "alphabet", "texts"),
        ("classes", "set of labels of whole recordings", "manifest"),
        ("frame_classes", "set of labels of frames", "manifest"),
    ):
        old, new = before.get(kind, []), now[kind]
        if old != new:
            raise RunFolderError(
                f"{checkpoint.folder}: of another {what} ({_compare(old, new)}); take the {source} "
                f"that it learned from, or begin in another folder"
            )


def describe_new_setting(checkpoint: Checkpoint, now: Mapping[str, Any]) -> list[str]:
    """Return a line where something may change the last bits of a run that goes on."""
    before, setting = {"processes": 1} | checkpoint.facts["run"]["setting"], now["setting"]
    changed = [
        f"{name} {before[name]} before, {value} now"
        for name, value in setting.items()
        if before[name] != value
    ]
    note = (
        f"{', '.join(changed)}: the run goes on, but its last bits may differ from those of one "
        f"that never stopped"
    )
    return [note] if changed else []


def _compare(before: list[str], now: list[str]) -> str:
    parts = [f"{len(before)} labels, {len(now)} now"]
    for what, some, others in (("gone", before, now), ("new", now, before)):
        different = [repr(label) for label in some if label not in others]
        if different:
            parts.append(f"{what}: {', '.join(different[:5])}{', ...' * (len(different) > 5)}")
    return "; ".join(parts)
