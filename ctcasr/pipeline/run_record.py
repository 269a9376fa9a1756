"""Run folders as they are found: what can be read of each, and what is wrong with the rest."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ctcasr.errors import CtcasrError, RunFolderError
from ctcasr.files import read_lines
from ctcasr.pipeline.run_folder import RunFolder
from ctcasr.training.advice import Advice, advise
from ctcasr.training.metrics import EpochReport, read_metrics

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run folder says.

    Attributes:
        path: the folder.
        facts: run.json.
        settings: config.yaml.
        epochs: metrics.jsonl.
        skipped: skipped.jsonl: set, id, kind and reason of each utterance left out.
        damage: what could not be read, and why, a line each.
    """

    path: Path
    facts: Mapping[str, Any]
    settings: Mapping[str, Any]
    epochs: Sequence[EpochReport]
    skipped: Sequence[Mapping[str, str]]
    damage: Sequence[str]

    @property
    def status(self) -> str:
        """As run.json has it; "damaged" where it has none."""
        return str(self.facts.get("status", "damaged"))

    def advice(self) -> list[Advice]:
        """Return what there is to say about how it went."""
        return advise(self.epochs, self.settings)


def is_run(path: Path) -> bool:
    """Return whether a folder is a run's, whole or not."""
    return any((path / name).is_file() for name in ("run.json", "config.yaml", "metrics.jsonl"))


def read_run(path: Path) -> RunRecord:
    """Return what can be read of a run folder; damaged files are named, not raised."""
    folder = RunFolder(path)
    damage: list[str] = []

    def read(source: Callable[[], _Read], otherwise: _Read) -> _Read:
        try:
            return source()
        except CtcasrError as error:
            damage.append(str(error))
            return otherwise

    return RunRecord(
        path,
        facts=read(folder.facts, {}),
        settings=read(folder.stored_config, {}),
        epochs=read(lambda: read_metrics(folder.metrics), []),
        skipped=read(lambda: _read_skipped(folder.skipped), []),
        damage=damage,
    )


def _read_skipped(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    skipped = []
    for number, line in enumerate(read_lines(path, error=RunFolderError), start=1):
        try:
            record = json.loads(line)
            skipped.append({key: str(record[key]) for key in ("set", "id", "kind", "reason")})
        except (ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"{path}: line {number} names no utterance ({error}); what stands after it is lost"
            ) from error
    return skipped
