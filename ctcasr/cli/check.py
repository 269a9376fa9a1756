"""`ctcasr check`."""

from pathlib import Path

import click

from ctcasr.cli.options import PATH, command, set_option, workers_option
from ctcasr.cli.progress import announce, counting

FOUND_FATAL = 3


@command(
    "check",
    "ctcasr check data/train.jsonl data/dev.jsonl data/test.jsonl -c my.yaml",
    "ctcasr check recordings.jsonl --sample 500 -o findings/",
)
@click.argument("manifests", nargs=-1, required=True, type=PATH, metavar="MANIFEST...")
@click.option(
    "-c",
    "--config",
    metavar="CONFIG",
    help="What will be trained: its text rules, unit, frontend and stride decide what fits.",
)
@click.option("-o", "--output", type=PATH, metavar="DIR", help="Write check.json and check.md.")
@click.option(
    "--sample", type=click.IntRange(min=1), metavar="N", help="Read only N items of each."
)
@set_option
@workers_option
def check_command(
    manifests: tuple[Path, ...],
    config: str | None,
    output: Path | None,
    sample: int | None,
    overrides: tuple[str, ...],
    workers: int,
) -> int:
    """Find what is wrong with a data set before training on it.

    Name all manifests of an experiment at once: leaks from one into another are found only so.
    The one called train (or else the first) gives the alphabet. Exit status 3: fatal findings.
    """
    from ctcasr.checking import render_report, write_report
    from ctcasr.config import load_config, parse_config
    from ctcasr.pipeline.check import check_manifests

    settings = None
    if config is not None:
        settings = load_config(config, overrides=overrides)
    elif overrides:
        settings = parse_config({}, overrides=overrides)
    with counting("reading items") as advance:
        report = check_manifests(
            manifests, settings, sample=sample, workers=workers, progress=advance
        )
    click.echo(render_report(report), nl=False)
    if output is not None:
        write_report(report, output)
        announce(f"every finding: {output / 'check.md'}")
    return FOUND_FATAL if report.fatal else 0
