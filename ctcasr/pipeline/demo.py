"""Demo: the built-in model on the recordings that ship with the package."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ctcasr.manifest import Utterance, read_manifest
from ctcasr.recognizer import Recognizer

DEMO_MODEL = "en-alnum"


@dataclass(frozen=True, slots=True)
class Heard:
    """One recording of the demo.

    Attributes:
        utterance: the recording and what was said.
        text: what the model heard.
        audio_seconds, seconds: its length, and the time it took.
    """

    utterance: Utterance
    text: str
    audio_seconds: float
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether every word was heard as it was said."""
        return self.text == self.utterance.text


def example_recordings() -> list[Utterance]:
    """Return the recordings that ship with the package, from speakers no model has heard."""
    folder = Path(str(resources.files("ctcasr") / "examples"))
    return read_manifest(folder / "manifest.jsonl")


def run_demo(recognizer: Recognizer) -> Iterator[Heard]:
    """Transcribe the example recordings one by one, with the time each one takes."""
    examples = example_recordings()
    recognizer.transcribe(examples[0].path)  # the first call also pays for what torch sets up
    for utterance in examples:
        started = time.perf_counter()
        transcript = recognizer.transcribe(utterance.path)
        seconds = time.perf_counter() - started
        yield Heard(utterance, transcript.text, transcript.duration or 0.0, seconds)
