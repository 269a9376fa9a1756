"""The report of an evaluation: the same facts as JSON, Markdown and a page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ctcasr.files import write_text
from ctcasr.reporting import render_report
from ctcasr.reporting.html.evaluation import Examples, render_evaluation
from ctcasr.scoring import Results
from ctcasr.scoring.analysis import Analysis


def write_evaluation(
    out: Path,
    results: Results,
    analysis: Analysis,
    *,
    examples: Sequence[Examples] = (),
    model_card: Mapping[str, str] | None = None,
) -> None:
    """Write results.json, report.md and report.html into a folder.

    Args:
        out: the folder.
        results: the scores.
        analysis: of these results.
        examples: utterances that the page shows.
        model_card: facts about the model.

    Raises:
        OutputError: they cannot be written.
    """
    record = {**results.to_json(), "analysis": analysis.to_json()}
    write_text(out / "results.json", json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    write_text(out / "report.md", render_report(record, name=out.name))
    page = render_evaluation(record, name=out.name, examples=examples, model_card=model_card)
    write_text(out / "report.html", page)


def rewrite_evaluation(folder: Path, record: Mapping[str, Any]) -> None:
    """Write report.md and report.html of a folder anew from its results.json.

    The page then shows no utterance drawn, which takes the model: evaluate again for these.

    Raises:
        OutputError: they cannot be written.
    """
    write_text(folder / "report.md", render_report(record, name=folder.name))
    write_text(folder / "report.html", render_evaluation(record, name=folder.name))
