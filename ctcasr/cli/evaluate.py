"""`ctcasr evaluate`."""

from pathlib import Path

import click

from ctcasr.cli.options import (
    PATH,
    SearchOptions,
    batch_size_option,
    command,
    device_option,
    model_option,
    search_options,
    workers_option,
)
from ctcasr.cli.progress import announce, announce_notes, counting


@command(
    "evaluate",
    "ctcasr evaluate -m exp/mine data/test.jsonl -o exp/mine/eval/test",
    "ctcasr evaluate -m exp/mine data/test.jsonl -o exp/mine/eval/beam --beam 16",
    "ctcasr evaluate -m exp/mine data/test.jsonl -o exp/mine/eval/lm --lm words.arpa",
)
@model_option
@click.argument("manifest", type=PATH, metavar="MANIFEST")
@click.option(
    "-o", "--output", type=PATH, required=True, metavar="DIR", help="Folder for the results."
)
@search_options
@device_option
@batch_size_option
@workers_option
def evaluate_command(
    model: str,
    manifest: Path,
    output: Path,
    search: SearchOptions,
    device: str,
    batch_size: int | None,
    workers: int,
) -> int:
    """Transcribe the recordings of MANIFEST and count the errors.

    DIR gets results.json, hypotheses.jsonl and report.md. An item that fails counts as one with
    empty output, is named, and marks the result [PARTIAL].
    """
    from ctcasr.bundle import load
    from ctcasr.pipeline.evaluate import evaluate_with
    from ctcasr.reporting import render_error_table

    recognizer = load(model, device=device)
    decode = search.config(recognizer.config.decode)
    announce_notes(recognizer.decoder(decode, workers=workers).notes)
    with counting("evaluating") as advance:
        results = evaluate_with(
            recognizer,
            manifest,
            out=output,
            decode=decode,
            batch_size=batch_size,
            workers=workers,
            progress=advance,
        )
    click.echo(render_error_table({manifest.stem: results}), nl=False)
    announce(f"results: {output}")
    return 3 if results.failed else 0
