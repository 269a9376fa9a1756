"""What many test files need: recordings made on the spot, and one thread."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import settings

from ctcasr.alphabet import Alphabet, build_alphabet
from ctcasr.manifest.utterance import Utterance
from ctcasr.training.loading import Labelled

settings.register_profile("default", deadline=None, max_examples=50)
settings.load_profile("default")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Equal sums on every machine, and no fight for its cores."""
    torch.set_num_threads(1)


@pytest.fixture
def write_wav(tmp_path):
    """Return a function that writes float samples as a 16-bit WAV file and returns its path."""

    def write(name: str, samples, *, sample_rate: int = 8_000) -> Path:
        path: Path = tmp_path / f"{name}.wav"
        soundfile.write(path, np.asarray(samples), sample_rate, subtype="PCM_16")
        return path

    return write


@pytest.fixture
def make_utterance(write_wav):
    """Return a function that writes a recording and returns its utterance."""

    def make(name: str, samples, *, sample_rate: int = 8_000, **fields) -> Utterance:
        audio = write_wav(name, samples, sample_rate=sample_rate)
        return Utterance(id=name, audio=audio, **fields)

    return make


TONES = {"a": 500, "b": 900, "c": 1_500, "d": 2_300}  # hertz
TONE_TEXTS = ["ab", "dcb", "aa", "cad", "bd", "dabc", "cc", "bad"]


def speak_tones(text: str, *, seed: int):
    """A tone of 90 ms for each letter, 60 ms of near silence around it; 8 kHz."""
    noise = np.random.default_rng(seed)
    time = np.arange(720) / 8_000
    gap = np.zeros(480)
    parts = [gap]
    for letter in text:
        parts += [0.4 * np.sin(2 * np.pi * TONES[letter] * time), gap]
    samples = np.concatenate(parts)
    return samples + 0.002 * noise.standard_normal(len(samples))


@pytest.fixture
def tone_items(make_utterance):
    """Eight recordings of two speakers whose letters are tones, with their labels."""
    alphabet = tone_alphabet()
    items = []
    for number, text in enumerate(TONE_TEXTS):
        samples = speak_tones(text, seed=number)
        speaker = "xy"[number % 2]
        utterance = make_utterance(f"{number}-{text}", samples, text=text, speaker=speaker)
        items.append(Labelled(utterance, alphabet.encode(text), len(samples) / 8_000))
    return items


def tone_alphabet() -> Alphabet:
    """Blank, space, a, b, c, d."""
    return build_alphabet(["a b c d"])
