"""Recordings that are still going on: blocks of samples from a file or a pipe, as they come.

From a pipe come the bytes of a WAV file, whose header is read here since libsndfile wants to seek,
or 16-bit samples without one. The samples are those that `waveform` reads from a whole file; so is
the resampler, fed bit by bit. No torch.

Source: Multimedia Programming Interface and Data Specifications 1.0 (1991), "WAVE"; Microsoft,
WAVEFORMATEXTENSIBLE.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soxr
from numpy.typing import NDArray

from ctcasr.errors import AudioError
from ctcasr.frontends.sound.waveform import UNKNOWN_LENGTH_BYTES, differing_channels, read_blocks

_FILE_BLOCK_S = 0.2
_PIPE_BLOCK_BYTES = 4096  # at most so many wait: 128 ms at 16 kHz and 16 bits
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
# By format tag and bits: NumPy's type, and what is full scale.
_CODINGS = {
    (_PCM, 8): ("u1", 2**7),
    (_PCM, 16): ("<i2", 2**15),
    (_PCM, 24): ("<i4", 2**31),  # once a fourth byte stands before the three
    (_PCM, 32): ("<i4", 2**31),
    (_FLOAT, 32): ("<f4", 1),
    (_FLOAT, 64): ("<f8", 1),
}


@dataclass(frozen=True, slots=True)
class LiveAudio:
    """Samples of one channel as they come.

    Attributes:
        name: what to call it in messages.
        rate: samples per second.
        blocks: (N,) float32 each. Taking one raises AudioError where what comes is damaged or
            cannot be used.
    """

    name: str
    rate: int
    blocks: Iterator[NDArray[np.float32]]

    def resampled(self, rate: int) -> Iterator[NDArray[np.float32]]:
        """Yield blocks at another rate: together what `waveform.resample` makes of all samples."""
        if rate == self.rate:
            yield from self.blocks
            return
        resampler = soxr.ResampleStream(self.rate, rate, 1, dtype="float32", quality="HQ")
        for block in self.blocks:
            yield resampler.resample_chunk(block)
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def open_file(path: Path) -> LiveAudio:
    """Read a recording block by block.

    Raises:
        AudioError: see `waveform.read_audio`.
    """
    rate, blocks = read_blocks(path, seconds=_FILE_BLOCK_S)
    return LiveAudio(str(path), rate, (_one_channel(block, str(path)) for block in blocks))


def open_samples(source: BinaryIO, *, rate: int, name: str) -> LiveAudio:
    """Read 16-bit little-endian samples of one channel from a pipe.

    Args:
        source: the pipe.
        rate: samples per second.
        name: what to call it.
    """
    coding = _Coding(_PCM, 16, channels=1)
    return LiveAudio(name, rate, _blocks(source, coding, None, rate=rate, name=name))


def open_wav(source: BinaryIO, *, name: str) -> LiveAudio:
    """Read the bytes of a WAV file from a pipe; its header may leave the length open.

    Args:
        source: the pipe, at the file's first byte.
        name: what to call it.

    Raises:
        AudioError: it is empty, no WAV file, or coded in a way that is not read here.
    """
    head = source.read(12)
    if not head:
        raise AudioError(f"{name}: empty (0 bytes); give the bytes of a WAV file, or --rate HZ")
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise AudioError(
            f"{name}: begins with {head[:4]!r}, where a WAV file has RIFF; convert it, as in "
            f"ffmpeg -i INPUT -f wav -, or name the rate of raw 16-bit samples: --rate HZ"
        )
    layout = b""
    while len(header := source.read(8)) == 8:
        kind, size = struct.unpack("<4sI", header)
        if kind == b"data":
            coding, rate = _parse_format(layout, name)
            length = None if size == 0 or size >= UNKNOWN_LENGTH_BYTES else size
            return LiveAudio(name, rate, _blocks(source, coding, length, rate=rate, name=name))
        content = source.read(size + size % 2)  # chunks begin at even bytes
        if kind == b"fmt ":
            layout = content
    raise AudioError(f"{name}: a WAV header without samples; record or convert it again")


class _Coding:
    """How samples are written: format tag, bits, channels."""

    def __init__(self, tag: int, bits: int, *, channels: int) -> None:
        self.type, self.full_scale = _CODINGS[tag, bits]
        self.offset = self.full_scale if self.type == "u1" else 0  # 8-bit samples are unsigned
        self.sample_bytes = bits // 8
        self.channels = channels

    @property
    def frame_bytes(self) -> int:
        return self.sample_bytes * self.channels

    def decode(self, data: bytes) -> NDArray[np.float32]:
        """Return whole frames as (channels, N)."""
        if self.sample_bytes == 3:
            padded = np.zeros((len(data) // 3, 4), np.uint8)
            padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            data = padded.tobytes()
        values = np.frombuffer(data, self.type).astype(np.float64) - self.offset
        samples: NDArray[np.float32] = (values / self.full_scale).astype(np.float32)
        return samples.reshape(-1, self.channels).T


def _parse_format(layout: bytes, name: str) -> tuple[_Coding, int]:
    if len(layout) < 16:
        raise AudioError(f"{name}: a WAV file without a format; record or convert it again")
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", layout)
    if tag == _EXTENSIBLE and len(layout) >= 26:
        (tag,) = struct.unpack_from("<H", layout, 24)
    if (tag, bits) not in _CODINGS or channels == 0 or rate == 0:
        raise AudioError(
            f"{name}: WAV format {tag} with {bits} bits, {channels} channels, {rate} Hz is not "
            f"read from a pipe; convert it to 16-bit PCM: ffmpeg -i INPUT -c:a pcm_s16le -f wav -"
        )
    return _Coding(tag, bits, channels=channels), rate


def _blocks(
    source: BinaryIO, coding: _Coding, length: int | None, *, rate: int, name: str
) -> Iterator[NDArray[np.float32]]:
    """Yield what comes; `length` is the bytes that a header promises, None where it does not."""
    came, rest = 0, b""
    while length is None or came < length:
        wanted = _PIPE_BLOCK_BYTES if length is None else min(_PIPE_BLOCK_BYTES, length - came)
        data = source.read1(wanted)  # type: ignore[attr-defined]  # of a buffered pipe
        if not data:
            break
        came += len(data)
        data = rest + data
        whole = len(data) // coding.frame_bytes * coding.frame_bytes
        rest = data[whole:]  # half a sample, till the other half comes
        samples = coding.decode(data[:whole])
        if not np.isfinite(samples).all():
            raise AudioError(f"{name}: NaN or infinite samples; record it again")
        yield _one_channel(samples, name)
    if came < coding.frame_bytes:
        raise AudioError(f"{name}: no sample came; check what writes to it")
    if length is not None and came < length:
        per_second = coding.frame_bytes * rate
        raise AudioError(
            f"{name}: cut short: {came / per_second:.3f} s of {length / per_second:.3f} s came; "
            f"check what writes to it"
        )


def _one_channel(samples: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    if differing_channels(samples) > 1:
        raise AudioError(
            f"{name}: {len(samples)} channels that differ; a stream is of one: record one, as in "
            f"arecord -c 1, or transcribe the file without --stream"
        )
    return np.ascontiguousarray(samples[0])
