"""`ctcasr evaluate`."""

from pathlib import Path

import click

from ctcasr.cli.options import (
    PATH,
    SearchOptions,
    audio_option,
    batch_size_option,
    cluster_option,
    command,
    costs_option,
    device_option,
    export_option,
    model_option,
    parse_exports,
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
@cluster_option
@costs_option
@click.option(
    "--seen",
    type=PATH,
    metavar="MANIFEST",
    help="The training set, to tell words never seen apart; that of a run folder is found by "
    "itself.",
)
@click.option(
    "--examples",
    type=click.IntRange(min=0, max=50),
    default=4,
    show_default=True,
    metavar="N",
    help="Utterances drawn of each kind: worst, median, random.",
)
@audio_option
@export_option
@search_options
@device_option
@batch_size_option
@workers_option
def evaluate_command(
    model: str,
    manifest: Path,
    output: Path,
    cluster: str,
    costs: str,
    seen: Path | None,
    examples: int,
    audio: str,
    exported: str,
    search: SearchOptions,
    device: str,
    batch_size: int | None,
    workers: int,
) -> int:
    """Transcribe the recordings of MANIFEST and count the errors.

    DIR gets results.json, hypotheses.jsonl, report.md and report.html: rates with intervals, parts
    of the test set, confusions, search error or model error, calibration of the confidence, and
    utterances drawn. An item that fails counts as one with empty output, is named, and marks the
    result [PARTIAL]. Several processes share the recordings:
    torchrun --nproc-per-node N -m ctcasr evaluate ...
    """
    from ctcasr.bundle import describe_recognizer, find_model, load
    from ctcasr.device import pick_device
    from ctcasr.distributed import join_world
    from ctcasr.pipeline.evaluate import ReportOptions, evaluate_with, find_training_set
    from ctcasr.pipeline.show import Sound
    from ctcasr.reporting import render_error_table, render_label_errors
    from ctcasr.scoring import Costs

    formats = parse_exports(exported)
    with join_world(pick_device(device)) as world:
        with world.agreed():
            recognizer = load(model, device=device)
            decode = search.config(recognizer.config.decode)
            notes = recognizer.notes(decode, workers=workers)
        if world.is_first:
            announce_notes(notes)
        with counting("evaluating", hidden=not world.is_first) as advance:
            results = evaluate_with(
                recognizer,
                manifest,
                out=output,
                decode=decode,
                options=ReportOptions(
                    cluster=cluster,
                    costs=Costs(costs),
                    seen=seen or find_training_set(model),
                    examples=examples,
                    sound=Sound(audio),
                    exports=formats,
                ),
                model_card=describe_recognizer(
                    recognizer, num_bytes=find_model(model).stat().st_size
                ),
                batch_size=batch_size,
                workers=workers,
                progress=advance,
                world=world,
            )
    if world.is_first:
        click.echo(render_error_table({manifest.stem: results}), nl=False)
        if results.label is not None or results.frames is not None:
            click.echo("\n" + render_label_errors(results), nl=False)
        announce(f"report: {output / 'report.html'}")
    return 3 if results.failed else 0
