"""Noise in which nothing is said, to be learned as an empty text.

A recognizer that has only ever heard speech writes a letter or two for a fan or a mains hum. The
recordings are made, not taken from anywhere: white to brown noise, hums of 50 and 60 Hz with their
harmonics, from very quiet to loud. All draws are keyed, so they are the same wherever they are
made.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from ctcasr.frontends.draws import keyed_generator
from ctcasr.frontends.sound.augmentation import power_law_noise
from ctcasr.manifest import Utterance

RATE = 16_000
NUM_RECORDINGS = 80
_NUM_HARMONICS = 12


def write_noise(folder: Path) -> Iterator[Utterance]:
    """Write recordings of 0.6 to 4 s below `folder` and yield them, each a speaker of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(NUM_RECORDINGS):
        name = f"noise-{number:03d}"
        path = folder / f"{name}.flac"
        samples = make_noise(name)
        soundfile.write(path, samples, RATE, subtype="PCM_16")
        yield Utterance(
            id=name,
            path=path,
            text="",
            speaker=name,
            split="train",
            duration=len(samples) / RATE,
        )


def make_noise(name: str) -> NDArray[np.float32]:
    """Return (N,) samples that depend on the name alone; every third is a hum with some noise."""
    generator = keyed_generator("noise", name)
    size = int(generator.uniform(0.6, 4.0) * RATE)
    exponent, seed = generator.uniform(0.0, 2.0), int(generator.integers(2**32))
    samples = power_law_noise(size, exponent, seed=seed)
    if generator.integers(3) == 0:
        samples = samples * np.float32(0.1) + _hum(size, generator)
    level_db = generator.uniform(-60.0, -20.0)
    return (samples * 10 ** (level_db / 20)).astype(np.float32)


def _hum(size: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return (N,) samples of a mains hum: harmonics that fall off, at random phases."""
    mains = float(generator.choice([50.0, 60.0]))
    orders = np.arange(1, _NUM_HARMONICS + 1)
    weights = generator.uniform(0.2, 1.0, _NUM_HARMONICS) / orders
    phases = generator.uniform(0.0, 2 * np.pi, _NUM_HARMONICS)
    time = np.arange(size)[:, None] / RATE
    return np.asarray(
        np.sin(2 * np.pi * mains * orders * time + phases) @ weights, dtype=np.float32
    )
