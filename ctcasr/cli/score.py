"""`ctcasr score`."""

from pathlib import Path

import click

from ctcasr.cli.options import (
    PATH,
    cluster_option,
    command,
    costs_option,
    export_option,
    parse_exports,
)
from ctcasr.cli.progress import announce, announce_notes


@command(
    "score",
    "ctcasr score test.jsonl hypotheses.jsonl -o scores/",
    "ctcasr score said.stm heard.ctm -o scores/ --export trn --costs nist",
    "ctcasr score test.jsonl whisper-output/ --rules nfc,casefold,numbers,punctuation,compounds",
)
@click.argument("reference", type=PATH, metavar="REF")
@click.argument("hypothesis", type=PATH, metavar="HYP")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="DIR",
    help="Write results.json, report.md and report.html there.",
)
@click.option(
    "--rules",
    default="nfc,whitespace",
    show_default=True,
    metavar="RULE,...",
    help="Text rules of the normalised score, in order: nfc, nfkc, whitespace, lowercase, "
    "casefold, punctuation, hyphens, diacritics, numbers (numbers:de, ...), compounds (one word or "
    "two, as the reference has it). See docs/scoring.md.",
)
@cluster_option
@costs_option
@export_option
def score_command(
    reference: Path,
    hypothesis: Path,
    output: Path | None,
    rules: str,
    cluster: str,
    costs: str,
    exported: str,
) -> int:
    """Count the errors of HYP against REF.

    Both are manifests, transcripts or NeMo's lines (.jsonl), tables of id and text (.tsv), NIST's
    .trn, .stm and .ctm, whisper's .json, a folder of .json or .txt files, or plain text with one
    line per item. Items are paired by id, or by the file name in it; plain text by line, where the
    line counts agree.
    """
    from ctcasr.pipeline.score import ScoreOptions, export, score_files, write_results
    from ctcasr.reporting import render_error_table
    from ctcasr.scoring import Costs

    formats = parse_exports(exported)
    if formats and output is None:
        raise click.UsageError("--export: nowhere to write to; give a folder: -o DIR")
    options = ScoreOptions(tuple(filter(None, rules.split(","))), Costs(costs), cluster)
    scored = score_files(reference, hypothesis, options=options)
    if output is not None:
        write_results(output, scored.results)
        announce_notes(export(output, scored, formats))
    click.echo(render_error_table({hypothesis.stem: scored.results}), nl=False)
    if output is not None:
        announce(f"report: {output / 'report.html'}")
    return 3 if scored.results.failed else 0
