"""Align: a manifest of recordings with texts in, transcripts with label and word times out."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ctcasr.errors import ManifestError
from ctcasr.manifest import read_manifest
from ctcasr.pipeline.inputs import Input, output_stem
from ctcasr.pipeline.transcribe import Tally, run_inputs
from ctcasr.recognizer import ALIGNMENT, Recognizer, Recording
from ctcasr.transcript import Transcript


def find_texts(manifest: Path) -> tuple[list[Input], list[str]]:
    """Return the items of a manifest that have a text, and the ids of those that have none.

    Raises:
        ManifestError: it cannot be read, or no item has a text.
    """
    utterances = read_manifest(manifest)
    labelled = [u for u in utterances if u.text is not None]
    if not labelled:
        raise ManifestError(
            f"{manifest}: none of {len(utterances)} items has a text to align; use "
            f"`ctcasr transcribe` for recordings without texts"
        )
    inputs = [Input(utterance, output_stem(utterance.id)) for utterance in labelled]
    return inputs, [utterance.id for utterance in utterances if utterance.text is None]


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

    def align(recordings: Sequence[Recording], most: int | None) -> list[Transcript]:
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
