"""`ctcasr score`."""

from pathlib import Path

import click

from ctcasr.cli.options import PATH, command


@command(
    "score",
    "ctcasr score test.jsonl hypotheses.jsonl -o scores/",
    "ctcasr score said.txt heard.txt --rules nfc,whitespace,casefold,punctuation",
)
@click.argument("reference", type=PATH, metavar="REF")
@click.argument("hypothesis", type=PATH, metavar="HYP")
@click.option(
    "-o", "--output", type=PATH, metavar="DIR", help="Write results.json and report.md there."
)
@click.option(
    "--rules",
    default="nfc,whitespace",
    show_default=True,
    metavar="RULE,...",
    help="Text rules of the normalised score; an unknown name lists the known ones.",
)
def score_command(reference: Path, hypothesis: Path, output: Path | None, rules: str) -> int:
    """Count the errors of HYP against REF.

    Both are manifests or transcripts (.jsonl), tables of id and text (.tsv), or plain text with
    one line per item. Items are paired by id; plain text by line, where the line counts agree.
    """
    from ctcasr.pipeline.score import score_files
    from ctcasr.reporting import render_error_table

    results = score_files(
        reference, hypothesis, rules=tuple(filter(None, rules.split(","))), out=output
    )
    click.echo(render_error_table({hypothesis.stem: results}), nl=False)
    return 3 if results.failed else 0
