"""`ctcasr align`."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctcasr.cli.options import (
    PATH,
    batch_size_option,
    command,
    device_option,
    model_option,
    workers_option,
)
from ctcasr.cli.progress import announce, announce_left_out, count_of, counting
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

if TYPE_CHECKING:
    from ctcasr.pipeline.inputs import Input
    from ctcasr.transcript import TimedWord, Transcript


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
@click.option(
    "--pieces",
    type=PATH,
    metavar="FILE",
    help="Also write a manifest of the items and of their pieces, cut between words, to train on "
    "with augment.join_items.",
)
@click.option(
    "--timed",
    type=PATH,
    metavar="FILE",
    help="Also write the manifest with each item's words and their times, to train heads.frame "
    "with.",
)
@existing_options
@device_option
@batch_size_option
@workers_option
def align_command(
    model: str,
    manifest: Path,
    output: Path,
    formats: str,
    pieces: Path | None,
    timed: Path | None,
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

    --pieces is for a second training: with data.train=FILE, augment.join_items=5 and
    augment.join_seconds=5 a model hears the words of the training set in ever new order, and
    cannot learn by heart what follows on what.

    --timed is for models that say what is heard when: with heads.frame.field=words they learn it
    from FILE, without the items that could not be aligned.
    """
    from ctcasr.bundle import load
    from ctcasr.pipeline.align import align_inputs, find_texts
    from ctcasr.pipeline.outputs import require_free
    from ctcasr.pipeline.pieces import write_pieces, write_timed
    from ctcasr.pipeline.transcribe import Tally

    if (pieces or timed) and skip_existing:
        option = "--pieces" if pieces else "--timed"
        raise click.UsageError(f"{option} needs every item's times; leave --skip-existing out")
    chosen = parse_formats(formats)
    existing = choose_existing(skip_existing=skip_existing, overwrite=overwrite)
    items, without_text = find_texts(manifest)
    plan = plan_files(items, output, chosen, existing)
    require_free([path for path in (pieces, timed) if path], existing)
    recognizer = load(model, device=device)
    announce_left_out(without_text)
    tally = Tally()
    words: dict[str, tuple[TimedWord, ...]] = {}

    def remember(
        aligned: "Iterable[tuple[Input, Transcript]]",
    ) -> "Iterator[tuple[Input, Transcript]]":
        for item, transcript in aligned:
            words[item.utterance.id] = transcript.words
            yield item, transcript

    with counting("aligning") as advance:
        results = align_inputs(
            recognizer, plan.todo, batch_size=batch_size, workers=workers, tally=tally
        )
        write_files(plan, remember(results), lambda: advance(tally.items, len(plan.todo)))
    if pieces:
        count = write_pieces(pieces, (item.utterance for item in items), words)
        announce(f"{pieces}: {count_of(len(items), 'item')} and {count_of(count, 'piece')}")
    if timed:
        count = write_timed(timed, (item.utterance for item in items), words)
        announce(f"{timed}: {count_of(count, 'item')} with the times of their words")
    summarise(tally, recognizer, skipped=len(items) - len(plan.todo))
    return ITEMS_FAILED if tally.failed else 0
