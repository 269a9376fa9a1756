"""What many test files need: recordings made on the spot, and one thread."""

import io
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import settings

from ctcasr.alphabet import Alphabet, build_alphabet
from ctcasr.bundle import load
from ctcasr.cli.app import main
from ctcasr.config import load_config
from ctcasr.manifest import write_manifest
from ctcasr.manifest.utterance import Utterance
from ctcasr.pipeline.train import train
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
        return Utterance(id=name, path=audio, **fields)

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
        seconds = len(samples) / 8_000
        items.append(Labelled(utterance, alphabet.encode(text), seconds, number % 2))
    return items


def tone_alphabet() -> Alphabet:
    """Blank, space, a, b, c, d."""
    return build_alphabet(["a b c d"])


def record_tones(root: Path) -> dict[str, str]:
    """Write eight recordings, and tones.jsonl of them, into `root`; return their texts by name."""
    texts, utterances = {}, []
    (root / "recordings").mkdir()
    for number, text in enumerate(TONE_TEXTS):
        name = f"{number}-{text}"
        audio = root / "recordings" / f"{name}.wav"
        soundfile.write(audio, speak_tones(text, seed=number), 8_000, subtype="PCM_16")
        texts[name] = text
        utterances.append(Utterance(id=name, path=audio, text=text, speaker="xy"[number % 2]))
    write_manifest(root / "tones.jsonl", utterances)
    return texts


@dataclass(frozen=True)
class ToneRun:
    """A finished training on tones: its run folder, and what it learned from.

    Attributes:
        folder: the run folder; recordings: eight WAV files; manifest: of them;
        config: the YAML file; texts: by name of the recording.
    """

    folder: Path
    recordings: Path
    manifest: Path
    config: Path
    texts: dict[str, str]


@pytest.fixture(scope="session")
def tone_run(tmp_path_factory) -> ToneRun:
    """A tiny model, trained by `ctcasr.train`, that reads its eight recordings without error."""
    root = tmp_path_factory.mktemp("tones")
    texts = record_tones(root)
    manifest, config = root / "tones.jsonl", root / "tones.yaml"
    config.write_text(
        f"""
data: {{train: {manifest.as_posix()}, dev: {manifest.as_posix()}, batch_size: 2}}
frontend: {{sample_rate: 8000, num_mels: 20}}
augment: {{speed: [1, 1], gain_db: [0, 0], shift_ms: 0, time_masks: 0, freq_masks: 0}}
encoder: {{layers: 1, hidden: 16, stride: 2, dropout: 0.0}}
optim: {{peak_lr: 0.02, warmup_steps: 5}}
training: {{epochs: 45, average: 1, precision: fp32}}
""",
        encoding="utf-8",
    )
    train(load_config(config), run=root / "run", device="cpu")
    return ToneRun(root / "run", root / "recordings", manifest, config, texts)


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


@pytest.fixture
def ctcasr(capsys, monkeypatch):
    """Return a function that runs a command in this process, as the installed program would."""
    terminate = signal.getsignal(signal.SIGTERM)

    def run(*arguments: object, stdin: bytes = b"") -> Ended:
        words = [str(argument) for argument in arguments]
        monkeypatch.setattr(sys, "argv", ["ctcasr", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        status = main(words)
        printed = capsys.readouterr()
        return Ended(status, printed.out, printed.err)

    yield run
    signal.signal(signal.SIGTERM, terminate)


@pytest.fixture(scope="session")
def recognizer(tone_run):
    """The model of `tone_run`; shared, so a test that changes it copies it first."""
    return load(tone_run.folder, device="cpu")


@pytest.fixture
def samples(tone_run):
    """The samples of one of its recordings, "cad"."""
    values, _ = soundfile.read(tone_run.recordings / "3-cad.wav", dtype="float32")
    return values
