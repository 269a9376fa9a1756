"""`ctcasr report`."""

from pathlib import Path

import click

from ctcasr.cli.options import PATH, command


@command(
    "report",
    "ctcasr report exp/mine",
    "ctcasr report exp/",
    "ctcasr report exp/mine/eval/test",
)
@click.argument("folder", type=PATH, metavar="DIR")
def report_command(folder: Path) -> None:
    """Write the page of a run, of all runs, or of an evaluation.

    A run gets report.html: how the training went, advice, what was left out. An evaluation gets its
    report.md and report.html anew, from results.json. A folder with runs in it, up to three levels
    below, gets index.html: all of them in one table, what differs between them, and their errors.
    """
    from ctcasr.pipeline.report import write_report

    click.echo(write_report(folder))
