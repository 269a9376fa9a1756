"""The report of an evaluation: the same facts as JSON, Markdown and a page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ctcasr.errors import ScoringError
from ctcasr.files import write_text
from ctcasr.reporting import render_report
from ctcasr.reporting.html.evaluation import render_evaluation
from ctcasr.reporting.html.examples import Examples, choose_examples, show_text
from ctcasr.scoring import Results
from ctcasr.scoring.analysis import Analysis
from ctcasr.scoring.results import SCHEMA


def write_evaluation(
    out: Path,
    results: Results,
    analysis: Analysis,
    *,
    examples: Sequence[Examples] | None = None,
    model_card: Mapping[str, str] | None = None,
) -> None:
    """Write results.json, report.md and report.html into a folder.

    Args:
        out: the folder.
        results: the scores.
        analysis: of these results.
        examples: utterances that the page shows; where not given, some without pictures.
        model_card: facts about the model.

    Raises:
        OutputError: they cannot be written.
    """
    record = {**results.to_json(), "analysis": analysis.to_json()}
    write_text(out / "results.json", json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    write_text(out / "report.md", render_report(record, name=out.name))
    if examples is None:
        examples = _text_examples(record)
    page = render_evaluation(record, name=out.name, examples=examples, model_card=model_card)
    write_text(out / "report.html", page)


def read_results(folder: Path) -> dict[str, Any]:
    """Return what results.json holds.

    Raises:
        ScoringError: it cannot be read, or is of another release.
    """
    path = folder / "results.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScoringError(
            f"{path}: cannot be read ({error.strerror or error}); name a folder that "
            f"`ctcasr evaluate` or `ctcasr score -o` wrote"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ScoringError(f"{path}: not JSON ({error}); evaluate or score again") from error
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        raise ScoringError(
            f"{path}: schema {json.dumps(schema)} found, this release reads {SCHEMA}; evaluate or "
            f"score again"
        )
    return dict(record)


def rewrite_evaluation(folder: Path, record: Mapping[str, Any]) -> None:
    """Write report.md and report.html of a folder anew from its results.json.

    Utterances then have no pictures, which take the model: evaluate again for these.

    Raises:
        OutputError: they cannot be written.
    """
    write_text(folder / "report.md", render_report(record, name=folder.name))
    page = render_evaluation(record, name=folder.name, examples=_text_examples(record))
    write_text(folder / "report.html", page)


def _text_examples(record: Mapping[str, Any]) -> list[Examples]:
    return [
        Examples(choice.title, choice.why, [show_text(one) for one in choice.utterances])
        for choice in choose_examples(record["utterances"])
    ]
