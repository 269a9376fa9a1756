"""The page of a folder of runs: all of them in one table, to be sorted by any column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ctcasr.reporting.html.page import render_page

_WITHOUT_EFFECT = frozenset({"data.workers", "data.cache_mb"})  # on what is learned


@dataclass(frozen=True, slots=True)
class RateCell:
    """The error rates of one evaluation.

    Attributes:
        word, char: rate and ci95, as in results.json.
        is_partial: whether some output was missing.
        link: address of its page; None where there is none.
    """

    word: Mapping[str, Any]
    char: Mapping[str, Any]
    is_partial: bool
    link: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentRow:
    """One run.

    Attributes:
        name: its path below the folder.
        link: address of its page.
        status: finished, running, interrupted, failed or damaged.
        started: when.
        epochs: done; planned: of so many.
        seconds: of training.
        dev: errors on the dev set by name, of the epoch with the lowest of the first; none without.
        settings: the configuration, by dotted key.
        scores: by name of the evaluation.
        damage: what could not be read, a line each.
    """

    name: str
    link: str
    status: str
    started: str
    epochs: int
    planned: int | None
    seconds: float
    dev: Mapping[str, float]
    settings: Mapping[str, Any]
    scores: Mapping[str, RateCell]
    damage: Sequence[str]


def render_experiments(rows: Sequence[ExperimentRow], *, name: str) -> str:
    """Return the page. Pure: equal rows give equal bytes.

    Args:
        rows: the runs.
        name: of the folder.
    """
    keys = differing_keys([row.settings for row in rows])
    return render_page(
        "experiments.html.j2",
        title=name,
        rows=rows,
        keys=[(key, [_written(row.settings.get(key, "")) for row in rows]) for key in keys],
        evaluations=list(dict.fromkeys(name for row in rows for name in row.scores)),
        dev_errors=list(dict.fromkeys(name for row in rows for name in row.dev)),
        damaged=[(row.name, line) for row in rows for line in row.damage],
    )


def differing_keys(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values differ between runs that have a configuration, in order."""
    known = [values for values in settings if values]
    keys = dict.fromkeys(key for values in known for key in values)
    return [
        key
        for key in keys
        if key not in _WITHOUT_EFFECT
        and any(values.get(key) != known[0].get(key) for values in known[1:])
    ]


def _written(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
