"""Score: count the errors of one file against another, and write what was counted."""

import json
from collections.abc import Sequence
from pathlib import Path

from ctcasr.files import write_text
from ctcasr.pipeline.provenance import command_line, commit, file_sha256, versions
from ctcasr.reporting import render_report
from ctcasr.scoring import Provenance, Results, pair_files, score_utterances


def score_files(
    reference: Path, hypothesis: Path, *, rules: Sequence[str], out: Path | None = None
) -> Results:
    """Score a file of hypotheses against a file of references.

    Args:
        reference: what was said; see `ctcasr.scoring.pair_files` for the formats.
        hypothesis: what was recognised.
        rules: text rules of the normalised score.
        out: folder for results.json and report.md; nothing is written where not given.

    Raises:
        ScoringError: the files cannot be read, or do not belong together.
        ConfigError: a text rule that does not exist.
        OutputError: the results cannot be written.
    """
    references, hypotheses = pair_files(reference, hypothesis)
    results = score_utterances(
        references,
        hypotheses,
        rules=rules,
        provenance=Provenance(
            command=command_line(),
            commit=commit(),
            versions=versions(),
            reference_sha256=file_sha256(reference),
        ),
    )
    if out is not None:
        write_results(out, results)
    return results


def write_results(out: Path, results: Results) -> None:
    """Write results.json and report.md into a folder.

    Raises:
        OutputError: they cannot be written.
    """
    content = json.dumps(results.to_json(), ensure_ascii=False, indent=1)
    write_text(out / "results.json", content + "\n")
    write_text(out / "report.md", render_report(results, name=out.name))
