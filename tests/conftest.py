"""What many test files need: recordings made on the spot, and one thread."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import settings

from ctcasr.manifest.utterance import Utterance

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
