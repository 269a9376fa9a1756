"""Defects of recordings, from one pass over their samples.

`measure` reads one utterance and keeps a few numbers of it; the checks below judge those numbers,
alone or against the rest of their set. Levels are relative to full scale (1.0).

Thresholds were set so that AN4 and FSDD, which people have listened to, give no false alarm.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctcasr.checking.findings import Finding, Kind, Unusable, counted
from ctcasr.checking.item_checks import unusable_item
from ctcasr.errors import AudioError
from ctcasr.frontends.sound.waveform import probe_audio, read_audio, select_channel
from ctcasr.manifest.utterance import Utterance

_SILENT_PEAK = 1e-3  # -60 dBFS
_FULL_SCALE = 0.999
_CLIPPED_SHARE = 1e-3  # of all samples, in runs of three or more
_DC_OFFSET = 0.01  # -40 dBFS
_DC_SHARE = 0.1  # of the RMS level
_UNCOVERED_S = 0.1  # manifests round their durations


@dataclass(frozen=True, slots=True)
class Measured:
    """What one pass over an utterance's samples leaves.

    Attributes:
        utterance: which.
        rate: Hz, of the file.
        channels: of the file.
        num_samples: of the segment, at the file's rate.
        peak: largest absolute sample.
        clipped: share of samples at full scale in runs of three or more.
        mean, rms: level at 0 Hz, and root mean square.
        digest: equal for equal samples at an equal rate, whatever the file format.
        file_seconds: length of the whole file.
    """

    utterance: Utterance
    rate: int
    channels: int
    num_samples: int
    peak: float
    clipped: float
    mean: float
    rms: float
    digest: bytes
    file_seconds: float

    @property
    def amount(self) -> float:
        """Length of the segment, in seconds."""
        return self.num_samples / self.rate

    @property
    def silent(self) -> bool:
        """Whether nothing can be heard."""
        return self.peak < _SILENT_PEAK


def measure(utterance: Utterance) -> Measured | Unusable:
    """Read one utterance; return its measures, or why it cannot be used."""
    try:
        info = probe_audio(utterance.path)
        samples, rate = read_audio(
            utterance.path, offset=utterance.offset, duration=utterance.duration
        )
        chosen = select_channel(samples, channel=utterance.channel, item=f"{utterance.path}")
    except AudioError as error:
        return unusable_item(utterance, error)
    return Measured(
        utterance=utterance,
        rate=rate,
        channels=len(samples),
        num_samples=len(chosen),
        peak=float(np.abs(chosen).max()),
        clipped=clipped_share(chosen),
        mean=float(chosen.mean(dtype=np.float64)),
        rms=math.sqrt(float(np.square(chosen, dtype=np.float64).mean())),
        digest=hashlib.sha256(rate.to_bytes(4, "little") + chosen.tobytes()).digest(),
        file_seconds=info.duration,
    )


def clipped_share(samples: NDArray[np.float32]) -> float:
    """Return the share of samples (N,) that stand at full scale in runs of three or more."""
    full = np.abs(samples) >= _FULL_SCALE
    if len(full) < 3:
        return 0.0
    starts = full[:-2] & full[1:-1] & full[2:]
    in_run = np.zeros_like(full)
    for shift in range(3):
        in_run[shift : len(starts) + shift] |= starts
    return float(in_run.mean())


def check_levels(name: str, measured: Sequence[Measured]) -> list[Finding]:
    """Return recordings that are silent, clipped, or off zero, and durations that cut a file."""
    findings = []
    uses = Counter(m.utterance.path for m in measured)
    for m in measured:
        item = m.utterance.id
        for kind, found in _level_defects(m).items():
            findings.append(Finding(kind, (name,), (item,), f"{item}: {found}"))
        uncovered = m.file_seconds - m.amount
        alone = uses[m.utterance.path] == 1 and m.utterance.offset == 0
        if m.utterance.duration is not None and alone and uncovered > _UNCOVERED_S:
            findings.append(
                Finding(
                    Kind.DURATION,
                    (name,),
                    (item,),
                    f"{item}: `duration` is {m.utterance.duration:.3f} s but its file lasts "
                    f"{m.file_seconds:.3f} s, and nothing else uses the rest",
                )
            )
    return findings


def _level_defects(m: Measured) -> dict[Kind, str]:
    defects = {}
    if m.silent and m.utterance.text != "":
        level = f"{20 * math.log10(m.peak):.0f} dBFS" if m.peak > 0 else "digital zero"
        defects[Kind.SILENT] = f"peak level {level}; nothing can be heard"
    if m.clipped >= _CLIPPED_SHARE:
        defects[Kind.CLIPPED] = f"{m.clipped:.1%} of its samples stand at full scale in runs"
    if abs(m.mean) > max(_DC_OFFSET, _DC_SHARE * m.rms):
        defects[Kind.DC_OFFSET] = f"its samples average {m.mean:+.3f} of full scale; 0 is usual"
    return defects


def check_formats(
    measured_by_set: Mapping[str, Sequence[Measured]], *, sample_rate: int | None
) -> list[Finding]:
    """Return mixtures of sample rates and channel counts, and what will be resampled."""
    findings = []
    everything = [m for measured in measured_by_set.values() for m in measured]
    sets = tuple(measured_by_set)
    rates = Counter(m.rate for m in everything)
    if len(rates) > 1:
        odd = tuple(m.utterance.id for m in everything if m.rate != rates.most_common(1)[0][0])
        findings.append(Finding(Kind.RATE_MIX, sets, odd, _by_set(measured_by_set, "rate", "Hz")))
    if len({m.channels for m in everything}) > 1:
        several = tuple(m.utterance.id for m in everything if m.channels > 1)
        message = _by_set(measured_by_set, "channels", "channel(s)")
        findings.append(Finding(Kind.CHANNEL_MIX, sets, several, message))
    others = [m for m in everything if sample_rate is not None and m.rate != sample_rate]
    if others:
        found = ", ".join(f"{rate} Hz" for rate in sorted({m.rate for m in others}))
        message = (
            f"{counted(len(others), 'recording')} at {found} will be resampled to {sample_rate} Hz"
        )
        ids = tuple(m.utterance.id for m in others)
        findings.append(Finding(Kind.RESAMPLED, sets, ids, message))
    return findings


def _by_set(measured_by_set: Mapping[str, Sequence[Measured]], field: str, unit: str) -> str:
    parts = []
    for name, measured in measured_by_set.items():
        counts = Counter(int(getattr(m, field)) for m in measured)
        listed = ", ".join(f"{n:,} with {value} {unit}" for value, n in sorted(counts.items()))
        parts.append(f"{name}: {listed or 'none read'}")
    return "; ".join(parts)
