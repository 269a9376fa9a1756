"""Report: a run, an evaluation, or a folder of runs as a page, from the files that they left."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ctcasr.bundle import describe_recognizer, load
from ctcasr.errors import CtcasrError, RunFolderError
from ctcasr.files import write_text
from ctcasr.pipeline.evaluation_report import read_results, rewrite_evaluation
from ctcasr.pipeline.run_folder import RunFolder, flatten
from ctcasr.pipeline.run_record import RunRecord, is_run, read_run
from ctcasr.reporting.html.experiments import ExperimentRow, RateCell, render_experiments
from ctcasr.reporting.html.training import render_training
from ctcasr.training.metrics import EpochReport

DEEPEST = 3
"""Folders between a folder of experiments and a run in it, at most."""


def write_report(folder: Path) -> Path:
    """Write the page of whatever a folder is; return its path.

    A run gets report.html; an evaluation report.md and report.html; a folder of runs index.html,
    and each run a page where it has none, or one older than its metrics.

    Raises:
        RunFolderError: the folder is none of these.
        ScoringError: results.json cannot be read.
        OutputError: the page cannot be written.
    """
    if (folder / "results.json").is_file():
        return _write_evaluation(folder)
    if is_run(folder):
        return write_training_report(folder)
    runs = list(_find_runs(folder, DEEPEST))
    if runs:
        return _write_index(folder, runs)
    found = "a folder" if folder.is_dir() else "a file" if folder.exists() else "nothing"
    raise RunFolderError(
        f"{folder}: {found}, but neither a run (run.json), nor an evaluation (results.json), nor a "
        f"folder with runs up to {DEEPEST} levels below; name one of these"
    )


def write_training_report(run: Path) -> Path:
    """Write report.html of a run, whole, broken off or damaged; return its path.

    Raises:
        OutputError: it cannot be written.
    """
    page = RunFolder(run).report
    write_text(page, _render_run(read_run(run)))
    return page


def _render_run(record: RunRecord) -> str:
    card, damage = _describe_model(record.path)
    return render_training(
        name=_name(record.path),
        facts=record.facts,
        status=record.status,
        settings=flatten(record.settings),
        epochs=[asdict(report) for report in record.epochs],
        advice=[(one.what, one.why, one.next_step) for one in record.advice()],
        skipped=record.skipped,
        model_card=card,
        damage=[*record.damage, *damage],
    )


def _describe_model(run: Path) -> tuple[dict[str, str], list[str]]:
    """Return the model in words, and what is wrong with its file."""
    model = RunFolder(run).model
    if not model.is_file():
        return {}, []
    try:
        return describe_recognizer(load(model, device="cpu"), num_bytes=model.stat().st_size), []
    except CtcasrError as error:
        return {}, [str(error)]


def _write_evaluation(folder: Path) -> Path:
    rewrite_evaluation(folder, read_results(folder))
    return folder / "report.html"


def _find_runs(folder: Path, levels: int) -> Iterator[Path]:
    """Yield the runs below a folder, in order of their names; a run may hold others."""
    if levels == 0 or not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in ("checkpoints", "eval"):
            if is_run(path):
                yield path
            yield from _find_runs(path, levels - 1)


def _write_index(folder: Path, runs: list[Path]) -> Path:
    page = folder / "index.html"
    write_text(page, render_experiments([_row(run, folder) for run in runs], name=_name(folder)))
    return page


def _row(run: Path, folder: Path) -> ExperimentRow:
    record = read_run(run)
    page = RunFolder(run).report
    if not _is_current(page):
        write_text(page, _render_run(record))
    scores, damage = _read_scores(run, folder)
    return ExperimentRow(
        name=run.relative_to(folder).as_posix(),
        link=_address(page, folder),
        status=record.status,
        started=str(record.facts.get("started", "")),
        epochs=len(record.epochs),
        planned=record.epochs[-1].epochs if record.epochs else None,
        seconds=sum(report.seconds for report in record.epochs),
        dev=_best_of(record.epochs),
        settings=flatten(record.settings),
        scores=scores,
        damage=[*record.damage, *damage],
    )


def _best_of(epochs: Sequence[EpochReport]) -> dict[str, float]:
    """Return the dev errors, by name, of the epoch with the lowest of the first kind it has."""
    found = [
        {
            name: error
            for name, error in (
                ("CER", epoch.dev_cer),
                ("WER", epoch.dev_wer),
                ("class error", epoch.dev_class_error),
                ("frame error", epoch.dev_frame_error),
            )
            if error is not None
        }
        for epoch in epochs
    ]
    return min(filter(None, found), key=lambda errors: next(iter(errors.values())), default={})


def _is_current(page: Path) -> bool:
    """Return whether a run's page stands and is no older than what it was made from."""
    sources = [page.with_name(name) for name in ("run.json", "metrics.jsonl")]
    return page.is_file() and all(
        page.stat().st_mtime_ns >= source.stat().st_mtime_ns
        for source in sources
        if source.is_file()
    )


def _read_scores(run: Path, folder: Path) -> tuple[dict[str, RateCell], list[str]]:
    """Return the error rates of every evaluation of a run, by its name, and what is damaged."""
    scores: dict[str, RateCell] = {}
    damage = []
    for path in sorted(run.glob("eval/*/results.json")):
        try:
            record = read_results(path.parent)
            scores[path.parent.name] = _cell(record, path.parent, folder)
        except CtcasrError as error:
            damage.append(str(error))
        except (KeyError, TypeError) as error:
            damage.append(f"{path}: damaged ({error!r}); evaluate again")
    return scores, damage


def _cell(record: Mapping[str, Any], evaluation: Path, folder: Path) -> RateCell:
    raw, page = record["raw"], evaluation / "report.html"
    return RateCell(
        word={key: raw["word"][key] for key in ("rate", "ci95")},
        char={key: raw["char"][key] for key in ("rate", "ci95")},
        is_partial=bool(record["partial"]),
        link=_address(page, folder) if page.is_file() else None,
    )


def _address(page: Path, folder: Path) -> str:
    """Return the address of a page from another in `folder`, for the attribute of a link."""
    return quote(page.relative_to(folder).as_posix())


def _name(folder: Path) -> str:
    return folder.resolve().name or str(folder)
