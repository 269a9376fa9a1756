"""A run folder: what a training leaves behind, and whether one may begin or go on there."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ctcasr.config import RunConfig, config_class
from ctcasr.errors import RunFolderError
from ctcasr.files import remove_unfinished, write_text
from ctcasr.pipeline.provenance import command_line, commit, versions
from ctcasr.training.checkpoint import list_checkpoints

# What may change between a run and its resumption without changing what is learned.
_FREE_KEYS = frozenset(
    {
        *("data.train", "data.dev", "data.on_bad", "data.max_unreadable"),
        *("data.workers", "data.cache_mb"),
        *("training.checkpoint_minutes", "training.keep_checkpoints", "training.threads"),
    }
)
_FREE_SECTIONS = frozenset({"decode", "score"})


class RunFolder:
    """One run folder.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = path / "model.safetensors"
        self.skipped = path / "skipped.jsonl"
        self.log = path / "log.txt"
        self.metrics = path / "metrics.jsonl"
        self.report = path / "report.html"
        self._facts_file = path / "run.json"
        self._config_file = path / "config.yaml"

    def require_ready(
        self, config: RunConfig, *, manifests: Mapping[str, str], resume: bool
    ) -> None:
        """Refuse to begin where something stands, or to go on with something else.

        Args:
            config: of the run.
            manifests: SHA-256 of each manifest, by its key.
            resume: go on where something stands.

        Raises:
            RunFolderError: the folder is not empty and `resume` was not given; or a run stands
                there with other settings or data, or without any.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunFolderError(f"{self.path}: a file; name a folder for the run")
        occupied = self.path.is_dir() and any(self.path.iterdir())
        if occupied and not resume:
            raise RunFolderError(
                f"{self.path}: not empty; add --resume to go on with the run there, or name "
                f"another folder"
            )
        if self._config_file.is_file():
            self._check_same(config, manifests)
            return
        for path in (self.log, self.metrics, self.model):
            if path.exists():
                raise RunFolderError(
                    f"{path}: of a run that nobody knows, without its config.yaml; put that back, "
                    f"or name another folder"
                )

    def begin(
        self,
        config: RunConfig,
        *,
        manifests: Mapping[str, str],
        found: Mapping[str, Any] | None = None,
    ) -> None:
        """Write down what the run is made of, before its first step or the first after it went on.

        Args:
            config: of the run.
            manifests: SHA-256 of each manifest, by its key.
            found: what was tried at its first start, by name, where that is known.

        Raises:
            OutputError: the folder cannot be written.
        """
        before, now = self.facts(), _now()
        for folder in (self.path, self.path / "checkpoints", *list_checkpoints(self.path)):
            remove_unfinished(folder)
        write_text(self._config_file, config.to_yaml())
        self._write(
            {
                "command": command_line(),
                "commit": commit(),
                "versions": versions(),
                "seed": config.seed,
                "manifests": dict(manifests),
                "started": before.get("started", now),
                **({"resumed": [*before.get("resumed", []), now]} if before else {}),
                **(found or {}),
                "status": "running",
            }
        )

    def write_facts(self, **facts: Any) -> None:
        """Add to run.json."""
        self._write(self.facts() | facts)

    def facts(self) -> dict[str, Any]:
        """Return what run.json holds; nothing where there is none."""
        if not self._facts_file.is_file():
            return {}
        try:
            return dict(json.loads(self._facts_file.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise RunFolderError(f"{self._facts_file}: damaged ({error}); delete it") from error

    def finish(self, status: str, *, reason: str | None = None) -> None:
        """Note how the run ended, and why if it failed."""
        self.write_facts(status=status, ended=_now(), **({"reason": reason} if reason else {}))

    def _write(self, facts: Mapping[str, Any]) -> None:
        write_text(self._facts_file, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")

    def _check_same(self, config: RunConfig, manifests: Mapping[str, str]) -> None:
        changed = changed_keys(self.stored_config(), config.model_dump(mode="json"))
        if changed:
            raise RunFolderError(
                f"{self.path}: cannot go on, since these keys have changed: {', '.join(changed)}; "
                f"set them back, or begin in another folder"
            )
        known = self.facts().get("manifests", manifests)
        other = [
            key
            for key in sorted(known.keys() | manifests.keys())
            if known.get(key) != manifests.get(key)
        ]
        if other:
            raise RunFolderError(
                f"{self.path}: cannot go on, since these manifests have changed: "
                f"{', '.join(other)}; set them back, or begin in another folder"
            )

    def stored_config(self) -> dict[str, Any]:
        """Return the configuration that the run began with.

        Raises:
            RunFolderError: it cannot be read.
        """
        try:
            stored = yaml.safe_load(self._config_file.read_text(encoding="utf-8"))
            return dict(stored)
        except (OSError, yaml.YAMLError, TypeError, ValueError) as error:
            raise RunFolderError(
                f"{self._config_file}: damaged, so that nobody knows what the run was; begin in "
                f"another folder"
            ) from error


def changed_keys(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return "key (old -> new)" for each key that decides what is learned and has changed.

    A key that is younger than the run had the effect of its default.
    """
    old = flatten(config_class(before)().model_dump(mode="json")) | flatten(before)
    new = flatten(now)
    return [
        f"{key} ({old.get(key)!r} -> {new.get(key)!r})"
        for key in sorted(old.keys() | new.keys())
        if not _is_free(key) and old.get(key) != new.get(key)
    ]


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested sections as one mapping of dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _is_free(key: str) -> bool:
    return key in _FREE_KEYS or key.split(".", maxsplit=1)[0] in _FREE_SECTIONS


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
