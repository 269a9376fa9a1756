"""`ctcasr align`."""

from pathlib import Path

import click

from ctcasr.cli.options import (
    PATH,
    batch_size_option,
    command,
    device_option,
    model_option,
    workers_option,
)
from ctcasr.cli.progress import announce_left_out, counting
from ctcasr.cli.writing import (
    ITEMS_FAILED,
    choose_existing,
    existing_options,
    format_option,
    parse_formats,
    plan_files,
    summarise,
    write_files,
)


@command(
    "align",
    "ctcasr align -m exp/mine data/test.jsonl -o words.ctm -f ctm",
    "ctcasr align -m exp/mine data/test.jsonl -o times/ -f textgrid,jsonl",
)
@model_option
@click.argument("manifest", type=PATH, metavar="MANIFEST")
@click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    metavar="FILE|DIR",
    help="Where to write; a folder gets one file per item.",
)
@format_option("jsonl")
@existing_options
@device_option
@batch_size_option
@workers_option
def align_command(
    model: str,
    manifest: Path,
    output: Path,
    formats: str,
    skip_existing: bool,
    overwrite: bool,
    device: str,
    batch_size: int | None,
    workers: int,
) -> int:
    """Find when each word and label of known texts was said.

    MANIFEST lists recordings with their texts; items without a text are left out. jsonl and
    textgrid have the labels beside the words. A label's times are the frames in which the model
    gives it, inside its sound; a word's times are where it begins and ends. An item whose text
    cannot be aligned is named, and the others are written.
    """
    from ctcasr.bundle import load
    from ctcasr.pipeline.align import align_inputs, find_texts
    from ctcasr.pipeline.transcribe import Tally

    chosen = parse_formats(formats)
    existing = choose_existing(skip_existing=skip_existing, overwrite=overwrite)
    items, without_text = find_texts(manifest)
    plan = plan_files(items, output, chosen, existing)
    recognizer = load(model, device=device)
    announce_left_out(without_text)
    tally = Tally()
    with counting("aligning") as advance:
        results = align_inputs(
            recognizer, plan.todo, batch_size=batch_size, workers=workers, tally=tally
        )
        write_files(plan, results, lambda: advance(tally.items, len(plan.todo)))
    summarise(tally, skipped=len(items) - len(plan.todo), rate=recognizer.sample_rate)
    return ITEMS_FAILED if tally.failed else 0
