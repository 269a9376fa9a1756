"""How right are word times? Strings of digits whose joints are known, beside what is found.

    python -m benchmarks.word_times -m RUN --corpus FSDD

300 strings of 1 to 7 of FSDD's test digits, joined with pauses of 0 to 300 ms (recipes/fsdd). Where
a word truly begins and ends is given in two ways, since some digits have near silence at the edges
of their own recordings:

    sound   the first and the last 5 ms whose level (20 ms) is within 30 dB of the digit's loudest
    joint   where the digit's recording begins and ends in the string: known without any rule

The times were chosen on strings of training digits. Both `sound` and the method look at the level,
the method with noise and neighbours in the way, so that `joint` is the independent judge, and a
pessimistic one. Prints Markdown to keep.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.setting import machine
from ctcasr.bundle import load
from ctcasr.decoding import forced_align
from ctcasr.frontends.sound.level import frame_levels
from ctcasr.items import Item
from ctcasr.manifest import Utterance
from ctcasr.recognizer import Recognizer
from ctcasr.transcript import TimedLabel, TimedWord
from recipes.fsdd.prepare import join_digits, read_fsdd

DROP_DB, HOP_S, WINDOW_S = 30.0, 0.005, 0.02
NOISE_DB = 20.0  # below the recording

Times = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class DigitString:
    """A recording, its text, and where its words truly are, in seconds, by both definitions."""

    recording: Item
    text: str
    truth: dict[str, Times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--split", choices=["train", "test"], default="test")
    args = parser.parse_args()
    recognizer = load(args.model, device="cpu")
    digits = [u for u in read_fsdd(args.corpus) if u.split == args.split]
    with tempfile.TemporaryDirectory() as folder:
        strings = [
            make_string(recognizer, utterance)
            for utterance in join_digits(digits, Path(folder), seed=1)
        ]
    print(f"## {machine(torch.device('cpu'))}, a frame of {1e3 * recognizer.frame_shift:g} ms\n")
    print("Milliseconds: median / 90th percentile of the absolute error, signed median.\n")
    print("| times | words | truth | start | end |")
    print("| --- | ---: | --- | ---: | ---: |")
    for name, found in measure(recognizer, strings):
        for truth in ("sound", "joint"):
            errors = np.array(
                [
                    np.subtract(time, true)
                    for string, times in zip(strings, found, strict=True)
                    if times is not None
                    for time, true in zip(times, string.truth[truth], strict=True)
                ]
            )
            start, end = (describe(1e3 * column) for column in errors.T)
            print(f"| {name} | {len(errors):,} | {truth} | {start} | {end} |", flush=True)


def make_string(recognizer: Recognizer, utterance: Utterance) -> DigitString:
    """Read a string and find where its words sound."""
    recording = replace(recognizer.prepare(utterance.path), id=utterance.id)
    words = cast(list[dict[str, float]], utterance.extra["words"])
    joints = [(word["start"], word["end"]) for word in words]
    rate = recognizer.sample_rate
    sound = []
    for start, end in joints:
        first, last = find_sound(recording.signal[round(start * rate) : round(end * rate)], rate)
        sound.append((start + first, start + last))
    return DigitString(recording, utterance.text or "", {"joint": joints, "sound": sound})


def find_sound(samples: NDArray[np.float32], rate: int) -> tuple[float, float]:
    """Return the seconds between which a digit's recording is heard."""
    levels = frame_levels(samples, hop=round(HOP_S * rate), window=round(WINDOW_S * rate))
    loud = np.flatnonzero(levels >= levels.max() - DROP_DB)
    return float(loud[0] * HOP_S), min(float((loud[-1] + 1) * HOP_S), len(samples) / rate)


def measure(
    recognizer: Recognizer, strings: Sequence[DigitString]
) -> Iterator[tuple[str, list[Times | None]]]:
    """Yield what is compared, and each string's times; None where its text was misread."""
    recordings, texts = [s.recording for s in strings], [s.text for s in strings]
    aligned = recognizer.align(recordings, texts)
    yield "spikes", [times_of(said.labels) for said in aligned]
    yield "spikes, label priors subtracted", list(subtract_priors(recognizer, strings))
    yield "`align`", [times_of(said.words) for said in aligned]
    read = recognizer.transcribe_batch(recordings)
    yield (
        "`transcribe`, where read rightly",
        [
            times_of(said.words) if said.text == text else None
            for said, text in zip(read, texts, strict=True)
        ],
    )
    noisy = recognizer.align([add_noise(recording) for recording in recordings], texts)
    yield f"`align`, white noise at -{NOISE_DB:g} dB", [times_of(said.words) for said in noisy]


def times_of(items: Sequence[TimedWord] | Sequence[TimedLabel]) -> Times:
    return [(item.start, item.end) for item in items]


def subtract_priors(recognizer: Recognizer, strings: Sequence[DigitString]) -> Iterator[Times]:
    """Yield spikes of log-probabilities less the logs of each label's share of all frames."""
    rows = [recognizer.log_probs([string.recording.signal])[0] for string in strings]
    priors = np.log(np.exp(np.concatenate(rows)).mean(0))
    for string, row in zip(strings, rows, strict=True):
        scores = row - priors
        scores -= scores.max(1, keepdims=True)  # no log-probabilities now; only ranks matter
        spans = forced_align(scores, recognizer.alphabet.encode(string.text))
        yield [(a * recognizer.frame_shift, b * recognizer.frame_shift) for a, b in spans]


def add_noise(recording: Item) -> Item:
    samples = recording.signal
    noise = np.random.default_rng(len(samples)).standard_normal(len(samples), dtype=np.float32)
    level = np.sqrt(np.mean(np.square(samples))) * 10 ** (-NOISE_DB / 20)
    return replace(recording, signal=samples + noise * np.float32(level))


def describe(errors: NDArray[np.float64]) -> str:
    median, ninetieth = np.percentile(np.abs(errors), [50, 90])
    return f"{median:.0f} / {ninetieth:.0f}, {np.median(errors):+.0f}"


if __name__ == "__main__":
    main()
