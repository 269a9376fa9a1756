"""`ctcasr demo`."""

import click

from ctcasr.cli.options import command, device_option
from ctcasr.cli.progress import announce, count_of, describe_speed


@command("demo", "ctcasr demo")
@device_option
def demo_command(device: str) -> None:
    """Transcribe the recordings that ship with ctcasr.

    The built-in model has never heard their speakers; its errors are shown as they are.
    """
    from ctcasr.bundle import load
    from ctcasr.pipeline.demo import DEMO_MODEL, run_demo

    recognizer = load(DEMO_MODEL, device=device)
    announce(f"model {DEMO_MODEL}; speakers it has never heard; errors are shown as they are")
    audio = seconds = 0.0
    wrong = count = 0
    for heard in run_demo(recognizer):
        audio += heard.audio_seconds
        seconds += heard.seconds
        count += 1
        wrong += not heard.is_right
        click.echo(f"{heard.utterance.path.name}")
        click.echo(f"  heard  {heard.text}")
        if not heard.is_right:
            click.echo(f"  said   {heard.utterance.text}")
        click.echo(
            f"  {heard.audio_seconds:.2f} s of audio in {heard.seconds:.3f} s, real-time factor "
            f"{heard.seconds / heard.audio_seconds:.3f}"
        )
    announce(
        f"{count_of(count, 'recording')}, {wrong} with an error; {describe_speed(audio, seconds)}"
    )
