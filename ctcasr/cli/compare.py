"""`ctcasr compare`."""

from pathlib import Path

import click

from ctcasr.cli.options import PATH, cluster_option, command
from ctcasr.cli.progress import announce


@command(
    "compare",
    "ctcasr compare exp/old/eval/test exp/new/eval/test -o compared/",
    "ctcasr compare ours/ theirs/ others/ --cluster session --normalised",
)
@click.argument("folders", nargs=-1, required=True, type=PATH, metavar="DIR DIR...")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="DIR",
    help="Write comparison.json, comparison.md and comparison.html there.",
)
@cluster_option
@click.option(
    "--normalised",
    is_flag=True,
    help="Compare under the text rules that the folders were scored with, not as it was written.",
)
def compare_command(
    folders: tuple[Path, ...], output: Path | None, cluster: str, normalised: bool
) -> None:
    """Say whether systems differ on a test set, or only seem to.

    Each DIR was written by `ctcasr evaluate` or `ctcasr score -o`. Every system is compared with
    the first: how far their rates differ, with an interval, and three tests (paired bootstrap,
    MAPSSWE, McNemar). Where there are more than two, p-values are corrected after Holm.
    """
    from ctcasr.pipeline.compare import compare_folders
    from ctcasr.reporting.comparison import render_comparison

    record = compare_folders(folders, out=output, cluster=cluster, normalised=normalised)
    click.echo(render_comparison(record), nl=False)
    if output is not None:
        announce(f"comparison: {output}")
