"""Recordings: from a file to float32 samples, and nothing silently dropped on the way.

soundfile decodes and seeks, so a segment of a long file costs only its own samples; soxr resamples;
librosa is asked for what soundfile does not know (it needs a decoder on the machine). Channels are
never mixed, and a file that promises more than it holds is an error, not a shorter recording.
No torch.

Samples are float32, full scale at -1 and 1; a float file may exceed it. Times are seconds from the
file's beginning, rounded to the nearest sample.
"""

import io
import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from ctcasr.errors import AudioError, ChannelError

UNKNOWN_LENGTH_BYTES = 0x7FFF0000
"""And above: what programs write that stream to a pipe."""
_FFMPEG_SUFFIXES = frozenset({".m4a", ".aac", ".mp4", ".m4b", ".3gp", ".wma"})
_END_SLACK_S = 0.1  # manifests round their durations; more than this past the end is a mistake
_MP3_SLACK_FRAMES = 2 * 1152  # an MP3 header may count the encoder's own padding: two MPEG frames
_PROMISED_BYTES = re.compile(
    r"(?:data|SSND|Data Size|riff|Riff size)\s*:\s*(\d+) \(should be (\d+)\)"
)
_BLOCK_FRAMES = 4096


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a recording's header says.

    Attributes:
        rate: samples per second and channel.
        channels: number of channels.
        frames: samples per channel.
        format: container by soundfile's name, such as "WAV" or "FLAC".
        subtype: coding by soundfile's name, such as "PCM_16".
    """

    rate: int
    channels: int
    frames: int
    format: str
    subtype: str

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate


def probe_audio(path: Path) -> AudioInfo:
    """Return what the header of a recording says, after a look at its last sample.

    Raises:
        AudioError: missing, a folder, empty, not audio, without samples, or cut short.
    """
    with _open(path) as file:
        info = _header(file, str(path))
        _require_last_frame(file, info, str(path))
        return info


def read_audio(
    path: Path, *, offset: float = 0.0, duration: float | None = None
) -> tuple[NDArray[np.float32], int]:
    """Return the samples (channels, N) of a recording, or of a segment of it, and its rate in Hz.

    Args:
        path: the recording.
        offset: seconds from the file's beginning.
        duration: seconds; None reaches to the file's end.

    Raises:
        AudioError: as `probe_audio`; or the segment lies outside the file; or a sample is NaN or
            infinite.
    """
    with _open(path) as file:
        return _read(file, str(path), offset=offset, duration=duration)


def read_blocks(path: Path, *, seconds: float) -> tuple[int, Iterator[NDArray[np.float32]]]:
    """Return the rate of a recording in Hz and its samples, some at a time.

    Args:
        path: the recording.
        seconds: of each block, but for the last.

    Returns:
        The rate; blocks (channels, N), read as they are taken.

    Raises:
        AudioError: as `read_audio`; also while the blocks are taken.
    """
    info = probe_audio(path)
    return info.rate, _blocks(path, max(1, round(seconds * info.rate)))


def _blocks(path: Path, size: int) -> Iterator[NDArray[np.float32]]:
    name, done = str(path), 0
    with _open(path) as file:
        info = _header(file, name)
        while done < info.frames:
            try:
                frames = file.read(size, dtype="float32", always_2d=True)  # (N, channels)
            except soundfile.LibsndfileError as error:
                raise _cut_short(file, info, name) from error
            if not len(frames):
                if done < info.frames - _slack(info):
                    raise _cut_short(file, info, name)
                return
            _require_finite(frames, first=done, info=info, name=name)
            done += len(frames)
            yield np.ascontiguousarray(frames.T)


def read_audio_bytes(data: bytes, name: str) -> tuple[NDArray[np.float32], int]:
    """Return the samples (channels, N) and rate in Hz of a recording held in memory.

    Args:
        data: the bytes of one audio file, in any format that soundfile knows.
        name: what to call it in messages.

    Raises:
        AudioError: as `read_audio`.
    """
    if not data:
        raise AudioError(f"{name}: empty (0 bytes); give the bytes of one audio file")
    try:
        file = soundfile.SoundFile(io.BytesIO(data))
    except (soundfile.LibsndfileError, TypeError) as error:
        raise AudioError(
            f"{name}: {len(data):,} bytes that cannot be decoded as audio ({_reason(error)}); "
            f'convert it first: ffmpeg -i "INPUT" "OUTPUT.wav"'
        ) from error
    with file:
        return _read(file, name, offset=0.0, duration=None)


def segment_frames(
    info: AudioInfo, *, offset: float, duration: float | None, name: str
) -> tuple[int, int]:
    """Return the first frame of a segment and the one after its last, in the recording's own rate.

    A segment may reach 0.1 s past the end, because durations are often rounded; it stops there.

    Raises:
        AudioError: a time that is negative or not a number, or a segment outside the recording.
    """
    wanted = f"offset {offset:g} s" + ("" if duration is None else f", duration {duration:g} s")
    if not (math.isfinite(offset) and offset >= 0):
        raise AudioError(
            f"{name}: {wanted}: an offset is a number of seconds from 0 on; correct it"
        )
    if duration is not None and not (math.isfinite(duration) and duration > 0):
        raise AudioError(f"{name}: {wanted}: a duration is a number of seconds above 0; correct it")
    end = info.duration if duration is None else offset + duration
    first, last = round(offset * info.rate), min(round(end * info.rate), info.frames)
    if first >= info.frames or end > info.duration + _END_SLACK_S:
        raise AudioError(
            f"{name}: {wanted} lies outside the recording, which is {info.duration:.3f} s long; "
            f"correct `offset` and `duration` in the manifest, or drop them to use the whole file"
        )
    if first == last:
        raise AudioError(f"{name}: {wanted} holds no sample at {info.rate} Hz; correct `duration`")
    return first, last


def select_channel(
    samples: NDArray[np.float32], *, channel: int | None, item: str
) -> NDArray[np.float32]:
    """Return the samples (N,) of one channel out of (channels, N); channels are never mixed.

    Without a `channel`, all channels must be bit-identical, as in mono saved as stereo.

    Raises:
        ChannelError: the channels differ and none was named, or there is no such channel.
    """
    count = len(samples)
    if channel is None:
        if differing_channels(samples) > 1:
            raise ChannelError(
                f"{item}: {count} channels that differ; say which one is meant: "
                f'"channel": 0 to {count - 1} in its manifest line'
            )
        channel = 0
    if not 0 <= channel < count:
        raise ChannelError(
            f"{item}: channel {channel} was asked for but there are {count} (0 to {count - 1}); "
            f"correct `channel` in its manifest line"
        )
    chosen: NDArray[np.float32] = samples[channel]
    return chosen


def differing_channels(samples: NDArray[np.float32]) -> int:
    """Return how many channels of (channels, N) must be told apart: 1 where all are identical."""
    identical = np.array_equal(samples[1:], np.broadcast_to(samples[:1], samples[1:].shape))
    return 1 if identical else len(samples)


def resample(samples: NDArray[np.float32], *, from_rate: int, to_rate: int) -> NDArray[np.float32]:
    """Return samples (N,) at another rate, `resampled_length(N)` of them.

    Band-limited interpolation by the SoX resampler at its HQ setting, which cuts just below the
    lower of the two Nyquist frequencies. Equal rates give back the same array.

    Raises:
        AudioError: a rate that is not positive.
    """
    length = resampled_length(len(samples), from_rate=from_rate, to_rate=to_rate)
    if from_rate == to_rate:
        return samples
    if length == 0:
        return np.zeros(0, np.float32)
    resampled: NDArray[np.float32] = soxr.resample(samples, from_rate, to_rate, quality="HQ")
    return resampled


def resampled_length(num_samples: int, *, from_rate: int, to_rate: int) -> int:
    """Return how many samples `resample` makes of `num_samples`: the nearest, halves upwards.

    Raises:
        AudioError: a rate that is not positive.
    """
    for rate in (from_rate, to_rate):
        if rate <= 0:
            raise AudioError(f"sample rate {rate} Hz: a rate is above 0; give the true one")
    return (2 * num_samples * to_rate + from_rate) // (2 * from_rate)


def _open(path: Path) -> soundfile.SoundFile:
    _require_bytes(path)
    if path.suffix.lower() in _FFMPEG_SUFFIXES:
        raise _needs_ffmpeg(path, "AAC and WMA cannot be decoded here")
    try:
        return soundfile.SoundFile(path)
    except UnicodeEncodeError as error:
        raise AudioError(
            f"{path}: a file name that is not Unicode cannot be opened; rename the file"
        ) from error
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a headerless .raw
        return soundfile.SoundFile(_decode_with_librosa(path, _reason(error)))


def _require_bytes(path: Path) -> None:
    try:
        if path.is_dir():
            raise AudioError(f"{path}: a folder, not a recording; name one audio file")
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError as error:
        raise AudioError(
            f"{path}: no such file; correct the path (in a manifest it counts from its folder)"
        ) from error
    except OSError as error:
        raise AudioError(
            f"{path}: cannot be opened ({error.strerror}); check its rights"
        ) from error
    if empty:
        raise AudioError(f"{path}: empty (0 bytes); copy the recording again or leave it out")


def _decode_with_librosa(path: Path, reason: str) -> BinaryIO:
    """Return the recording as a float WAV in memory, decoded by whatever librosa finds."""
    import librosa  # seconds to import, and rarely needed

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # librosa announces that it tries other decoders
            samples, rate = librosa.load(path, sr=None, mono=False)
    except Exception as error:  # each decoder that it tries fails in its own way
        raise _needs_ffmpeg(path, f"no audio that can be decoded here ({reason})") from error
    if samples.size == 0:
        raise _needs_ffmpeg(path, f"no audio that can be decoded here ({reason})")
    wav = io.BytesIO()
    soundfile.write(wav, samples.T, int(rate), format="WAV", subtype="FLOAT")
    wav.seek(0)
    return wav


def _needs_ffmpeg(path: Path, found: str) -> AudioError:
    target = path.with_suffix(".converted.wav" if path.suffix.lower() == ".wav" else ".wav")
    return AudioError(
        f'{path}: {found}; if it is a recording, convert it to WAV: ffmpeg -i "{path}" "{target}"'
    )


def _read(
    file: soundfile.SoundFile, name: str, *, offset: float, duration: float | None
) -> tuple[NDArray[np.float32], int]:
    info = _header(file, name)
    first, last = segment_frames(info, offset=offset, duration=duration, name=name)
    try:
        file.seek(first)
        frames = file.read(last - first, dtype="float32", always_2d=True)  # (N, channels)
    except soundfile.LibsndfileError as error:
        raise _cut_short(file, info, name) from error
    if len(frames) == 0 or len(frames) < last - first - _slack(info):
        raise _cut_short(file, info, name)
    _require_finite(frames, first=first, info=info, name=name)
    return np.ascontiguousarray(frames.T), info.rate


def _require_finite(frames: NDArray[np.float32], *, first: int, info: AudioInfo, name: str) -> None:
    """Refuse NaN and infinity in (N, channels), which begins at frame `first` of the recording."""
    bad = ~np.isfinite(frames).all(axis=1)
    if bad.any():
        raise AudioError(
            f"{name}: NaN or infinite samples: {int(bad.sum()):,}, the first at "
            f"{(first + int(bad.argmax())) / info.rate:.3f} s; export the recording again"
        )


def _header(file: soundfile.SoundFile, name: str) -> AudioInfo:
    info = AudioInfo(
        rate=file.samplerate,
        channels=file.channels,
        frames=file.frames,
        format=file.format,
        subtype=file.subtype,
    )
    promised = _promised_frames(file, info)
    if promised > info.frames:
        raise _readable_only(name, info, readable=info.frames, promised=promised)
    if info.frames == 0:
        raise AudioError(f"{name}: a header without samples; record or export it again")
    return info


def _promised_frames(file: soundfile.SoundFile, info: AudioInfo) -> int:
    """Return the frames an uncompressed file's header speaks of, read from libsndfile's log.

    libsndfile quietly shortens such a file to what is there, and says so only in its log.
    """
    found = _PROMISED_BYTES.search(file.extra_info)
    if found is None:
        return info.frames
    promised, present = int(found[1]), int(found[2])
    if promised >= UNKNOWN_LENGTH_BYTES:
        return info.frames
    if present <= 0 or info.frames == 0:
        return max(1, promised // max(1, _sample_bytes(info) * info.channels))
    return round(info.frames * promised / present)


def _sample_bytes(info: AudioInfo) -> int:
    widths = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
    return widths.get(info.subtype, 1)


def _require_last_frame(file: soundfile.SoundFile, info: AudioInfo, name: str) -> None:
    """A compressed file is cut short where its last frame cannot be decoded."""
    try:
        file.seek(max(0, info.frames - 1 - _slack(info)))
        readable = len(file.read(1)) == 1
    except soundfile.LibsndfileError as error:
        raise _cut_short(file, info, name) from error
    if not readable:
        raise _cut_short(file, info, name)


def _slack(info: AudioInfo) -> int:
    return _MP3_SLACK_FRAMES if info.subtype.startswith("MPEG") else 0


def _cut_short(file: soundfile.SoundFile, info: AudioInfo, name: str) -> AudioError:
    """Return the error of a file that ends early, after reading it to find out where."""
    source = file.name
    if isinstance(source, io.BytesIO):
        source.seek(0)
    readable = 0
    try:
        with soundfile.SoundFile(source) as again:  # the first one is lost after a failed seek
            while block := len(again.read(_BLOCK_FRAMES)):
                readable += block
    except soundfile.LibsndfileError:
        pass  # the end of what can be read is what we came for
    return _readable_only(name, info, readable=readable, promised=info.frames)


def _readable_only(name: str, info: AudioInfo, *, readable: int, promised: int) -> AudioError:
    return AudioError(
        f"{name}: cut short or damaged: {readable / info.rate:.3f} s of "
        f"{promised / info.rate:.3f} s can be read; copy the recording again or leave it out"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string).rstrip(".")
    return "no header"
