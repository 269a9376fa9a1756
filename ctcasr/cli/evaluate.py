"""`ctcasr evaluate`."""

from pathlib import Path

import click

from ctcasr.cli.options import (
    PATH,
    batch_size_option,
    command,
    decode_config,
    decoding_options,
    device_option,
    model_option,
    set_option,
    workers_option,
)
from ctcasr.cli.progress import announce, counting


@command(
    "evaluate",
    "ctcasr evaluate -m exp/mine data/test.jsonl -o exp/mine/eval/test",
    "ctcasr evaluate -m exp/mine data/test.jsonl -o exp/mine/eval/beam --beam 16",
)
@model_option
@click.argument("manifest", type=PATH, metavar="MANIFEST")
@click.option(
    "-o", "--output", type=PATH, required=True, metavar="DIR", help="Folder for the results."
)
@decoding_options
@set_option
@device_option
@batch_size_option
@workers_option
def evaluate_command(
    model: str,
    manifest: Path,
    output: Path,
    beam: int | None,
    nbest: int | None,
    overrides: tuple[str, ...],
    device: str,
    batch_size: int | None,
    workers: int,
) -> int:
    """Transcribe the recordings of MANIFEST and count the errors.

    DIR gets results.json, hypotheses.jsonl and report.md. An item that fails counts as one with
    empty output, is named, and marks the result [PARTIAL].
    """
    from ctcasr.pipeline.evaluate import evaluate_with
    from ctcasr.recognizer import load
    from ctcasr.reporting import render_error_table

    recognizer = load(model, device=device)
    decode = decode_config(recognizer.config.decode, beam=beam, nbest=nbest, overrides=overrides)
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
