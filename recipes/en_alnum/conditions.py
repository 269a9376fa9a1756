"""The conditions en-alnum is judged under: what is said, at which rate, in how much noise.

Every condition is a manifest of recordings on disk, so that a bad one can be listened to. They are
written as FLAC, 16 bits and lossless, since four copies as WAV would fill a gigabyte. Noise is pink
and keyed by the utterance's id, so it is the same wherever it is made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from ctcasr.frontends.draws import keyed_generator
from ctcasr.frontends.sound.augmentation import power_law_noise
from ctcasr.frontends.sound.recordings import load_utterance
from ctcasr.manifest import Utterance, read_manifest, write_manifest

PINK = 1.0


@dataclass(frozen=True, slots=True)
class Channel:
    """How a recording reaches the recognizer: rate in Hz, and noise at a signal-to-noise ratio."""

    rate: int
    snr_db: float | None = None


CHANNELS: Mapping[str, Channel] = {
    "8 kHz": Channel(8_000),
    "16 kHz": Channel(16_000),
    "48 kHz": Channel(48_000),
    "16 kHz, noise at 10 dB": Channel(16_000, snr_db=10.0),
}


SUBSETS: Mapping[str, Callable[[Utterance], bool]] = {
    "learners' digit strings": lambda u: u.extra["corpus"] == "speechocean",
    "single commands": lambda u: u.extra["corpus"] == "speech_commands",
    "FSDD digits": lambda u: u.extra["corpus"] == "fsdd",
    "AN4": lambda u: u.extra["corpus"] == "an4",
    "noise alone": lambda u: u.extra["corpus"] == "noise",
}


def write_conditions(held_out: Path, out: Path) -> dict[str, Path]:
    """Write the held-out utterances once per condition; return the manifests by its name.

    A subset that the held-out utterances do not have is left out. Recordings that stand below
    `out` already are kept.

    Args:
        held_out: a manifest of people who were not learned from.
        out: folder of the recordings and of one manifest per condition.

    Raises:
        AudioError: a recording is damaged.
    """
    utterances = read_manifest(held_out)
    manifests = {}
    for subset, belongs in SUBSETS.items():
        members = [utterance for utterance in utterances if belongs(utterance)]
        for channel_name, channel in CHANNELS.items() if members else ():
            name = f"{subset}, {channel_name}"
            path = out / f"{file_name(name)}.jsonl"
            folder = out / file_name(channel_name)
            write_manifest(path, [send_through(u, channel, folder) for u in members])
            manifests[name] = path
    return manifests


def file_name(condition: str) -> str:
    """Return a condition's name as a file's: letters, digits and hyphens."""
    words = "".join(char if char.isalnum() else " " for char in condition.replace("'", ""))
    return "-".join(words.lower().split())


def send_through(utterance: Utterance, channel: Channel, folder: Path) -> Utterance:
    """Write an utterance as it comes out of a channel; return it with its new recording.

    Raises:
        AudioError: the recording is damaged.
    """
    path = folder / f"{utterance.id}.flac"
    samples = load_utterance(utterance, sample_rate=channel.rate)
    if not path.is_file():
        if channel.snr_db is not None:
            samples = add_noise(samples, snr_db=channel.snr_db, item=utterance.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples / max(1.0, peak(samples)), channel.rate, subtype="PCM_16")
    return replace(
        utterance, path=path, offset=0.0, channel=None, duration=len(samples) / channel.rate
    )


def add_noise(samples: NDArray[np.float32], *, snr_db: float, item: str) -> NDArray[np.float32]:
    """Return (N,) samples with pink noise at a signal-to-noise ratio over the whole recording."""
    seed = int(keyed_generator("condition noise", item).integers(2**32))
    noise = power_law_noise(len(samples), PINK, seed=seed)
    level = np.sqrt(np.mean(np.square(samples))) * 10 ** (-snr_db / 20)
    return samples + noise * np.float32(level)


def peak(samples: NDArray[np.float32]) -> float:
    """Return the greatest magnitude; 0 for no samples."""
    return float(np.abs(samples).max(initial=0.0))
