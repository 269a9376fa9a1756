"""Align: a manifest of recordings with texts in, transcripts with label and word times out."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ctcasr.items import Item
from ctcasr.manifest import Utterance
from ctcasr.pipeline.inputs import Input, read_labelled
from ctcasr.pipeline.transcribe import Tally, run_inputs
from ctcasr.recognizer import ALIGNMENT, Recognizer
from ctcasr.transcript import Transcript


def find_texts(manifest: Path) -> tuple[list[Input], list[Utterance]]:
    """Return the items of a manifest that have a text, and the utterances that have none.

    Raises:
        ManifestError: it cannot be read, or no item has a text.
    """
    return read_labelled(
        manifest, why="to align; use `ctcasr transcribe` for recordings without texts"
    )


def align_inputs(
    recognizer: Recognizer,
    inputs: Sequence[Input],
    *,
    batch_size: int | None = None,
    workers: int = 2,
    tally: Tally | None = None,
) -> Iterator[tuple[Input, Transcript]]:
    """Return an iterator over the alignment of each input with its text, in order.

    Args:
        recognizer: the model.
        inputs: of which every utterance has a text, and an id of its own.
        batch_size: most recordings computed together.
        workers: reading threads.
        tally: counted up while the transcripts are taken.
    """
    texts = {item.utterance.id: item.utterance.text or "" for item in inputs}

    def align(recordings: Sequence[Item], most: int | None) -> list[Transcript]:
        chosen = [texts[recording.id] for recording in recordings]
        return recognizer.align(recordings, chosen, batch_size=most)

    return run_inputs(
        recognizer,
        inputs,
        align,
        decoder=ALIGNMENT,
        batch_size=batch_size,
        workers=workers,
        split_channels=False,
        tally=tally,
    )
