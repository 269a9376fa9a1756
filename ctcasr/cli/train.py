"""`ctcasr train`."""

from pathlib import Path

import click

from ctcasr.cli.options import (
    PATH,
    batch_size_option,
    command,
    device_option,
    set_option,
)
from ctcasr.cli.progress import TrainingDisplay, announce


@command(
    "train",
    "ctcasr train my.yaml -o exp/mine",
    "ctcasr train my.yaml -o exp/mine --resume",
    "ctcasr train my.yaml -o exp/slow --set data.train=train.jsonl --set optim.peak_lr=3e-4",
)
@click.argument("config", metavar="CONFIG")
@click.option("-o", "--output", "run", type=PATH, required=True, metavar="RUN", help="Run folder.")
@click.option(
    "--resume",
    is_flag=True,
    help="Go on from the newest checkpoint in RUN; starts afresh where there is none.",
)
@set_option
@device_option
@batch_size_option
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Threads that read recordings ahead; sets data.workers.",
)
def train_command(
    config: str,
    run: Path,
    resume: bool,
    overrides: tuple[str, ...],
    device: str,
    batch_size: int | None,
    workers: int | None,
) -> int:
    """Train a recognizer on recordings and their texts.

    CONFIG is a YAML file or the name of a packaged configuration; data.train and data.dev name
    the manifests. At its end, RUN holds the model and report.html: how the training went, and
    advice where something about it is known to be mended. On several GPUs or processors:
    torchrun --nproc-per-node N -m ctcasr train ..., which share each batch.
    """
    from ctcasr.config import load_config
    from ctcasr.distributed import is_first_process
    from ctcasr.manifest import Modality
    from ctcasr.pipeline.provenance import command_line
    from ctcasr.pipeline.run_folder import RunFolder
    from ctcasr.pipeline.run_record import read_run
    from ctcasr.pipeline.train import train
    from ctcasr.training.interruption import Interrupted

    if batch_size is not None:
        overrides = (*overrides, f"data.batch_size={batch_size}")
    if workers is not None:
        overrides = (*overrides, f"data.workers={workers}")
    settings = load_config(config, overrides=overrides)
    try:
        with TrainingDisplay(hidden=not is_first_process()) as display:
            model = train(
                settings,
                run=run,
                resume=resume,
                device=device,
                observer=display,
            )
    except Interrupted as interruption:
        command = command_line()
        again = command if resume else f"{command} --resume"
        announce(f"{interruption}; state saved, go on with: {again}")
        return 128 + interruption.signal_number
    if not is_first_process():
        return 0
    for advice in read_run(run).advice():
        announce(f"advice: {advice.what} {advice.why} {advice.next_step}")
    announce(f"model: {model}")
    announce(f"report: {RunFolder(run).report}")
    example = {
        Modality.AUDIO: "RECORDING.wav",
        Modality.INK: "INK.inkml",
        Modality.IMAGE: "LINE.png",
    }[settings.modality]
    announce(f"use it: ctcasr transcribe -m {run} {example}")
    return 0
