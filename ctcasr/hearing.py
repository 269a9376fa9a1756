"""From items to what the heads of a network make of them, batch by batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctcasr.batching import pad_signals, plan_batches
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.frontends.media import Frontend
from ctcasr.frontends.medium import Medium, Signal
from ctcasr.items import Item
from ctcasr.models.network import Network

Part = tuple[int, int]
"""Start and end of a part of a signal, or of the frames that were made of it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the heads of a network make of a batch: natural logs for each recording.

    Attributes:
        labels: (T', V) of the CTC head; V is 0 where attention alone writes text, T' is 0 where
            nothing does.
        frames: (T', C) of the frame head; T' is 0 without one.
        whole: (C,) of the utterance head; C is 0 without one.
        encoded: (T', F) encoder frames, for an attention decoder; none without one.
        cuts: frames [start, end) of each part, where a recording was heard in parts.
    """

    labels: list[NDArray[np.float32]]
    frames: list[NDArray[np.float32]]
    whole: list[NDArray[np.float32]]
    encoded: Sequence[Tensor] = ()
    cuts: Sequence[Sequence[Part]] = ()

    @property
    def parts(self) -> Sequence[Sequence[Part]]:
        """Frames [start, end) of what was heard by itself, of each recording."""
        return self.cuts or [[(0, len(row))] for row in self.labels]


def hear(
    network: Network,
    features: FeatureExtractor,
    signals: Sequence[Signal],
    device: torch.device,
) -> Heard:
    """Return what the heads make of signals: samples (N,) or frames (N, F).

    Args:
        network: in evaluation mode.
        features: of the network's frontend.
        signals: at least one.
        device: where both are.
    """
    padded, lengths = pad_signals(signals)
    with torch.inference_mode():
        frames, frame_lengths = features(padded.to(device), lengths.to(device))
        outputs = network.outputs(frames, frame_lengths)
        whole = np.zeros((len(signals), 0), np.float32)
        if outputs.utterance is not None:
            whole = _log_probs(outputs.utterance)
        logits = outputs.ctc[-1][0] if outputs.ctc else None
        valid = outputs.lengths.tolist()
        labels, encoded = _valid(logits, valid), []
        if outputs.encoded is not None:
            encoded = [row[:length] for row, length in zip(outputs.encoded, valid, strict=True)]
            if logits is None:
                labels = [np.zeros((length, 0), np.float32) for length in valid]
    return Heard(labels, _valid(outputs.frame, valid), list(whole), encoded)


def hear_batches(
    hear: Callable[[Sequence[Signal]], Heard],
    items: Sequence[Item],
    medium: Medium[Any, Any],
    frontend: Frontend,
    *,
    max_frames: int,
    max_items: int | None,
    cut: Callable[[Signal], Sequence[Part]] | None = None,
) -> Iterator[tuple[Sequence[int], Heard]]:
    """Yield batches of like length: the items' indices, and what the heads make of them.

    T' is 0 for digital silence: normalised, it would look like speech that the model never heard.

    Args:
        hear: of signals.
        items: what to hear.
        medium: of the model.
        frontend: of the model.
        max_frames: of a batch, see `plan_batches`.
        max_items: of a batch.
        cut: says which parts of a signal are heard by themselves; all are heard whole without it.
            A signal of several parts is a batch of its own.
    """
    parts = [cut(item.signal) if cut else () for item in items]
    whole = [index for index, those in enumerate(parts) if len(those) < 2]
    lengths = [frontend.num_frames(len(items[index].signal)) for index in whole]
    for planned in plan_batches(lengths, max_frames=max_frames, max_items=max_items):
        batch = [whole[at] for at in planned]
        yield batch, _hear_what_sounds(hear, [items[index].signal for index in batch], medium)
    for index, those in enumerate(parts):
        if len(those) > 1:
            signals = [items[index].signal[start:end] for start, end in those]
            lengths = [frontend.num_frames(len(signal)) for signal in signals]
            batches = plan_batches(lengths, max_frames=max_frames, max_items=max_items)
            yield [index], _hear_parts(hear, signals, batches, medium)


def _hear_what_sounds(
    hear: Callable[[Sequence[Signal]], Heard],
    signals: Sequence[Signal],
    medium: Medium[Any, Any],
) -> Heard:
    """Return what the heads make of signals; of those that hold nothing, no frames."""
    heard = hear(signals)
    labels = [
        log_probs[:0] if medium.is_empty(signal) else log_probs
        for signal, log_probs in zip(signals, heard.labels, strict=True)
    ]
    encoded = [
        frames[: len(log_probs)] for frames, log_probs in zip(heard.encoded, labels, strict=False)
    ]
    return replace(heard, labels=labels, encoded=encoded)


def _hear_parts(
    hear: Callable[[Sequence[Signal]], Heard],
    signals: Sequence[Signal],
    batches: Sequence[Sequence[int]],
    medium: Medium[Any, Any],
) -> Heard:
    """Return what the heads that write text make of one recording that is heard in parts."""
    labels: dict[int, NDArray[np.float32]] = {}
    encoded: dict[int, Tensor] = {}
    for batch in batches:
        heard = _hear_what_sounds(hear, [signals[index] for index in batch], medium)
        labels |= zip(batch, heard.labels, strict=True)
        encoded |= zip(batch, heard.encoded, strict=False)
    rows = [labels[index] for index in range(len(signals))]
    return Heard(
        [np.concatenate(rows)],
        [np.zeros((0, 0), np.float32)],
        [np.zeros(0, np.float32)],
        [torch.cat([encoded[index] for index in range(len(signals))])] if encoded else [],
        cuts=[list(pairwise(accumulate(map(len, rows), initial=0)))],
    )


def _log_probs(logits: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = logits.float().log_softmax(-1).cpu().numpy()
    return found


def _valid(logits: Tensor | None, lengths: Sequence[int]) -> list[NDArray[np.float32]]:
    """Return (T', V) natural logs without padding for each recording; T' is 0 of no head."""
    if logits is None:
        return [np.zeros((0, 0), np.float32) for _ in lengths]
    return [row[:length] for row, length in zip(_log_probs(logits), lengths, strict=True)]
