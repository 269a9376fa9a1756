"""Items as a model takes them: read, brought to what its frontend wants, and what to call them.

recordings     samples at the model's rate; one item for each channel, where channels differ
pen strokes    features along the pen's way, and the strokes that they are of
images         columns of the straightened line, and where in the image they are
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcasr.errors import AudioError, ItemError
from ctcasr.frontends.image.features import (
    ImageFrames,
    ImageFrontendConfig,
    image_frames,
    prepare_line,
)
from ctcasr.frontends.image.line_image import LineImage, read_line_image
from ctcasr.frontends.ink.features import InkFrames, InkFrontendConfig, ink_frames, prepare_ink
from ctcasr.frontends.ink.files import read_ink
from ctcasr.frontends.ink.strokes import Ink
from ctcasr.frontends.media import Frontend
from ctcasr.frontends.medium import Signal
from ctcasr.frontends.sound.spectral import FrontendConfig
from ctcasr.frontends.sound.waveform import (
    differing_channels,
    read_audio,
    read_audio_bytes,
    resample,
    select_channel,
)
from ctcasr.manifest.utterance import Modality, Utterance


@dataclass(frozen=True, slots=True)
class Item:
    """What a model reads of one item, and what to call it.

    Attributes:
        signal: (N,) float32 samples at the model's rate, or (N, F) frames.
        id: the item's.
        source: the path, or None.
        channel: of a recording that has several.
        offset: of a recording: seconds from the file's beginning.
        stored_rate: of a recording: samples per second before resampling.
        frames: of pen strokes: where each frame came from.
        ink: of pen strokes: as they were read.
        columns: of an image: where each frame came from.
        image: of an image: the line as it was read.
    """

    signal: Signal
    id: str
    source: str | None = None
    channel: int | None = None
    offset: float = 0.0
    stored_rate: int | None = None
    frames: InkFrames | None = None
    ink: Ink | None = None
    columns: ImageFrames | None = None
    image: LineImage | None = None


def read_items(
    utterance: Utterance,
    frontend: Frontend,
    *,
    split_channels: bool = False,
    content: bytes | None = None,
) -> list[Item]:
    """Read one item of a manifest; several where channels differ and each is asked for.

    Args:
        utterance: what to read.
        frontend: of the model.
        split_channels: each channel by itself where channels differ and none is named.
        content: the bytes of the file, where they did not come from one.

    Raises:
        ItemError: it cannot be read, or is not what the model reads.
    """
    if isinstance(frontend, FrontendConfig):
        _require(utterance, Modality.AUDIO)
        return _read_channels(utterance, frontend, split_channels=split_channels, content=content)
    modality = Modality.INK if isinstance(frontend, InkFrontendConfig) else Modality.IMAGE
    _require(utterance, modality)
    if isinstance(frontend, ImageFrontendConfig):
        image = read_line_image(
            utterance.path, item=utterance.id, polygon=utterance.polygon, content=content
        )
        return [image_item(image, frontend, item=utterance.id, source=str(utterance.path))]
    if content is not None:
        ink = _read_ink_bytes(content, item=utterance.id)
    else:
        ink = read_ink(
            utterance.path, item=utterance.id, index=utterance.index, traces=utterance.traces
        )
    return [ink_item(ink, frontend, item=utterance.id, source=str(utterance.path))]


def sound_item(
    samples: NDArray[np.floating[Any]],
    frontend: FrontendConfig,
    *,
    sample_rate: int | None,
    channel: int | None,
) -> Item:
    """Return samples of one's own as the model hears them.

    Args:
        samples: (N,) or (channels, N), full scale at -1 and 1.
        frontend: of the model.
        sample_rate: theirs, in Hz.
        channel: which of several.

    Raises:
        AudioError: no rate, not floats, not one or two axes, axes exchanged, NaN.
        ChannelError: several channels and no choice, or a choice that is not there.
    """
    stored, rate = _check_samples(samples, sample_rate)
    chosen = select_channel(stored, channel=channel, item="array")
    resampled = resample(chosen, from_rate=rate, to_rate=frontend.sample_rate)
    return Item(resampled, "array", None, channel, stored_rate=rate)


def ink_item(
    ink: Ink, frontend: InkFrontendConfig, *, item: str, source: str | None = None
) -> Item:
    """Return pen strokes as a model takes them.

    Raises:
        InkError: see `ink_frames`.
    """
    frames = ink_frames(prepare_ink(ink, frontend, item=item), frontend)
    return Item(frames.features, item, source, frames=frames, ink=ink)


def image_item(
    image: LineImage, frontend: ImageFrontendConfig, *, item: str, source: str | None = None
) -> Item:
    """Return the image of a line as a model takes it.

    Raises:
        ImageError: see `prepare_line`.
    """
    frames = image_frames(prepare_line(image, frontend, item=item), frontend)
    return Item(frames.features, item, source, columns=frames, image=image)


def unread_item(utterance: Utterance) -> Item:
    """Return what is known of an item that could not be read."""
    nothing = np.zeros(0, np.float32)
    return Item(
        nothing,
        id=utterance.id,
        source=str(utterance.path),
        channel=utterance.channel,
        offset=utterance.offset,
    )


def _read_ink_bytes(content: bytes, *, item: str) -> Ink:
    """Return the ink of an XML or JSON file that came without a name."""
    suffix = ".json" if content.lstrip()[:1] == b"[" else ".xml"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{item}{suffix}")
        path.write_bytes(content)
        return read_ink(path, item=item)


def _require(utterance: Utterance, modality: Modality) -> None:
    if utterance.modality is not modality:
        raise ItemError(
            f"{utterance.path}: the model reads {modality.items}, and this is listed or named as "
            f"{utterance.modality.items}; give it what it has learned to read, or take another "
            f"model"
        )


def _read_channels(
    utterance: Utterance, frontend: FrontendConfig, *, split_channels: bool, content: bytes | None
) -> list[Item]:
    if content is not None:
        stored, rate = read_audio_bytes(content, "standard input")
    else:
        stored, rate = read_audio(
            utterance.path, offset=utterance.offset, duration=utterance.duration
        )
    several = split_channels and utterance.channel is None and differing_channels(stored) > 1
    channels: Sequence[int | None] = range(len(stored)) if several else [utterance.channel]
    return [
        Item(
            resample(
                select_channel(stored, channel=channel, item=utterance.id),
                from_rate=rate,
                to_rate=frontend.sample_rate,
            ),
            id=f"{utterance.id}#{channel}" if several else utterance.id,
            source=str(utterance.path),
            channel=channel,
            offset=utterance.offset,
            stored_rate=rate,
        )
        for channel in channels
    ]


def _check_samples(
    given: NDArray[np.floating[Any]], sample_rate: int | None
) -> tuple[NDArray[np.float32], int]:
    """Return samples as (channels, N) float32, and their rate."""
    samples = np.asarray(given)  # a list or a tensor will do
    if sample_rate is None:
        raise AudioError("array: no sample rate; give sample_rate=..., in Hz")
    if not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(
            f"array: samples are {samples.dtype}; give floats with full scale at -1 and 1, such as "
            f"int16 samples divided by 32768"
        )
    if samples.ndim not in (1, 2):
        raise AudioError(f"array: shape {samples.shape}; give (samples,) or (channels, samples)")
    if samples.ndim == 2 and samples.shape[0] > samples.shape[1] > 0:
        raise AudioError(
            f"array: shape {samples.shape} would be {samples.shape[0]:,} channels; give "
            f"(channels, samples), as in samples.T"
        )
    if not np.isfinite(samples).all():
        raise AudioError("array: holds NaN or infinite samples; repair the recording")
    return np.atleast_2d(samples).astype(np.float32), sample_rate
