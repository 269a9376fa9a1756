"""Show: what a model reads in an item, as pictures on a page."""

import base64
import io
import os
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import numpy as np
import soundfile
import torch
from markupsafe import Markup
from numpy.typing import NDArray
from torch import Tensor

from ctcasr.alphabet import frames_needed
from ctcasr.decode_config import DecodeConfig
from ctcasr.decoding import Hypothesis, forced_align
from ctcasr.decoding.attention_times import monotone_frames
from ctcasr.errors import AlphabetError
from ctcasr.files import write_text
from ctcasr.frontends.feature_stats import Normalisation
from ctcasr.frontends.sound.spectral import FrontendConfig, SpectralFrontend
from ctcasr.items import Item
from ctcasr.manifest import Modality, Utterance
from ctcasr.models.attention import END_SYMBOL
from ctcasr.pipeline.inputs import Input
from ctcasr.pipeline.transcribe import Tally, transcribe_inputs
from ctcasr.recognizer import Recognizer
from ctcasr.reporting.html.drawing import AlignedText, Picture, draw_utterance
from ctcasr.reporting.html.page import describe_length
from ctcasr.reporting.html.utterances import ShownUtterance, render_utterances
from ctcasr.reporting.html.views import (
    AttentionMatrix,
    LinePicture,
    Spectrogram,
    View,
    WrittenLine,
)
from ctcasr.scoring import align_tokens
from ctcasr.transcript import Transcript

Look = Callable[[Sequence[int]], NDArray[np.float64]]
"""The U labels of a text -> (U + 1, T') where the attention decoder looks for each, and its end."""

ALTERNATIVES = 8
"""Texts of an n-best list that a page shows."""

_DRAWN_MELS = 64


class Sound(StrEnum):
    """How a page gets at recordings."""

    LINK = "link"
    """By their path from the page: small, but page and recordings must stay together."""
    EMBED = "embed"
    """Inside the page, as FLAC."""
    NONE = "none"
    """Not at all."""


def show(
    recognizer: Recognizer,
    inputs: Sequence[Input],
    *,
    out: Path,
    decode: DecodeConfig | None = None,
    sound: Sound = Sound.LINK,
    workers: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write a page with a picture of every input; return how many could not be decoded.

    Args:
        recognizer: the model.
        inputs: what to show; those with a text are aligned with it.
        out: the page.
        decode: how to search; the model's own way where not given.
        sound: how the page gets at the recordings.
        workers: reading threads.
        progress: told how many of how many items are done.

    Raises:
        CtcasrError: the search cannot be had, or the page cannot be written.
    """
    shown = show_inputs(
        recognizer,
        inputs,
        folder=out.parent,
        decode=decode,
        sound=sound,
        workers=workers,
        progress=progress,
    )
    model = f"{recognizer.name} {recognizer.sha256[:12]}"
    write_text(out, render_utterances(shown, title=out.stem, model=model))
    return sum(bool(one.error) for one in shown)


def show_inputs(
    recognizer: Recognizer,
    inputs: Sequence[Input],
    *,
    folder: Path,
    decode: DecodeConfig | None = None,
    sound: Sound = Sound.LINK,
    workers: int = 2,
    facts: Mapping[str, Sequence[tuple[str, str]]] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ShownUtterance]:
    """Return what a page shows of each input, in order.

    Args:
        recognizer: the model.
        inputs: what to show.
        folder: where the page will lie.
        decode: how to search; the model's own way where not given.
        sound: how the page gets at the recordings.
        workers: reading threads.
        facts: what else is known of each, by id.
        progress: told how many of how many items are done.

    Raises:
        CtcasrError: the search cannot be had.
    """
    decode = decode or recognizer.config.decode
    if decode.beam > 1 and decode.nbest < ALTERNATIVES:
        nbest = min(decode.beam, ALTERNATIVES)
        decode = decode.model_copy(update={"nbest": nbest})
    by_id = {item.utterance.id: item.utterance for item in inputs}
    painter = _Painter(recognizer, by_id)
    tally = Tally()
    shown = []
    for item, transcript in transcribe_inputs(
        recognizer,
        inputs,
        decode=decode,
        workers=workers,
        tally=tally,
        watch=painter,
    ):
        utterance = item.utterance
        shown.append(
            ShownUtterance(
                id=transcript.id,
                pairs=_pairs(utterance.text, transcript.text),
                has_reference=utterance.text is not None,
                facts=(facts or {}).get(utterance.id, _facts(transcript)),
                picture=painter.pictures.get(transcript.id),
                sound=None if transcript.error else address_of(utterance, folder, sound),
                nbest=[(other.text, other.log_prob) for other in transcript.nbest],
                error=transcript.error.message if transcript.error else "",
            )
        )
        progress(tally.items, len(inputs))
    return shown


class _Painter:
    """Watches a recognizer and draws what it hears."""

    def __init__(self, recognizer: Recognizer, utterances: Mapping[str, Utterance]) -> None:
        self.pictures: dict[str, Markup] = {}
        self._recognizer = recognizer
        self._utterances = utterances

    def __call__(
        self,
        recording: Item,
        log_probs: NDArray[np.float32],
        found: Sequence[Hypothesis],
        transcript: Transcript,
        encoded: Tensor | None = None,
    ) -> None:
        alphabet = self._recognizer.alphabet
        look = self._look(encoded)
        matrix = None
        if look is not None and found[0].attention_log_prob is not None:
            written = [*(alphabet.labels[label] for label in found[0].labels), END_SYMBOL]
            matrix = AttentionMatrix(look(found[0].labels), written)
        texts = [self._align("output", log_probs, found[0].labels, look)]
        utterance = self._utterances.get(recording.id)
        if utterance is not None and utterance.text is not None:
            texts.insert(0, self._reference(utterance.text, log_probs, look))
        picture = Picture(
            extent=self._extent(recording),
            view=self._view(recording, texts[-1]),
            posteriors=np.exp(log_probs),
            labels=alphabet.labels,
            blank=alphabet.blank,
            frame_shift=self._recognizer.frame_shift,
            texts=tuple(texts),
            unit=self._unit,
            attention=matrix,
        )
        title = (
            f"{recording.id}: {picture.view.name}, posteriors and alignments over "
            f"{picture.extent:.2f} {picture.unit}"
        )
        self.pictures[recording.id] = draw_utterance(picture, title=title)

    @property
    def _unit(self) -> str:
        """Of a picture's axis."""
        return "s" if self._recognizer.modality is Modality.AUDIO else "frames"

    def _extent(self, item: Item) -> float:
        return len(item.signal) / self._recognizer.medium.rate

    def _view(self, item: Item, output: AlignedText) -> View:
        if item.columns is not None:
            return LinePicture(item.columns.ink)
        if item.frames is None:
            return Spectrogram(self._spectrogram(item))
        ink = item.frames.sampled
        middles = [
            (label, min(int((start + end) / 2), len(ink) - 1))
            for label, start, end in output.labels
        ]
        return WrittenLine(
            tuple(ink.strokes()), tuple((label, ink.points[at, 0]) for label, at in middles)
        )

    def _look(self, encoded: Tensor | None) -> Look | None:
        """Return what says where an attention decoder looks; None where there is none."""
        if self._recognizer.attention is None or encoded is None or not len(encoded):
            return None
        model = self._recognizer.attention([encoded])
        return lambda labels: model.look(labels, recording=0)

    def _reference(
        self, text: str, log_probs: NDArray[np.float32], look: Look | None
    ) -> AlignedText:
        try:
            labels = self._recognizer.encode(text)
        except AlphabetError as error:
            return AlignedText("reference", missing=f"cannot be written by the model: {error}")
        return self._align("reference", log_probs, labels, look)

    def _align(
        self,
        name: str,
        log_probs: NDArray[np.float32],
        labels: Sequence[int],
        look: Look | None,
    ) -> AlignedText:
        alphabet, shift = self._recognizer.alphabet, self._recognizer.frame_shift
        if not labels:
            return AlignedText(name, missing="(nothing)")
        if log_probs.shape[1] and frames_needed(labels) <= len(log_probs):
            spans = forced_align(log_probs, labels, blank=alphabet.blank)
        elif look is not None:
            frames = monotone_frames(look(labels)[: len(labels)])
            spans = [(frame, frame + 1) for frame in frames]
        else:
            return AlignedText(name, missing="needs more frames than there are")
        return AlignedText(
            name,
            tuple(
                (alphabet.labels[label], start * shift, end * shift)
                for label, (start, end) in zip(labels, spans, strict=True)
            ),
        )

    def _spectrogram(self, recording: Item) -> NDArray[np.float32]:
        if not len(recording.signal):
            return np.zeros((0, _DRAWN_MELS), np.float32)
        samples = torch.from_numpy(recording.signal)[None]
        with torch.inference_mode():
            features, _ = self._frontend(samples, torch.tensor([samples.shape[1]]))
        drawn: NDArray[np.float32] = features[0].numpy()
        return drawn

    @cached_property
    def _frontend(self) -> SpectralFrontend:
        config = FrontendConfig(
            sample_rate=self._recognizer.sample_rate,
            num_mels=_DRAWN_MELS,
            window_ms=32.0,
            normalise=Normalisation.NONE,
        )
        return SpectralFrontend(config)


def _pairs(reference: str | None, output: str) -> list[tuple[str | None, str | None]]:
    words = output.split()
    if reference is None:
        return [(word, word) for word in words]
    return align_tokens(reference.split(), words)


def _facts(transcript: Transcript) -> list[tuple[str, str]]:
    facts = []
    if transcript.duration is not None:
        facts.append(("length", describe_length(transcript.duration, transcript.axis)))
    if transcript.confidence is not None:
        facts.append((f"{transcript.confidence_kind} confidence", f"{transcript.confidence:.3f}"))
    return facts


def address_of(utterance: Utterance, folder: Path, sound: Sound) -> str | None:
    """Return where a page in `folder` finds a recording; None where it is to have no sound."""
    if sound is Sound.NONE or utterance.modality is not Modality.AUDIO:
        return None
    if sound is Sound.EMBED:
        return _embed(utterance)
    try:
        path = os.path.relpath(utterance.path, folder)
        address = quote(Path(path).as_posix())
    except ValueError:  # another drive
        address = utterance.path.resolve().as_uri()
    if not utterance.offset and utterance.duration is None:
        return address
    end = "" if utterance.duration is None else f",{utterance.offset + utterance.duration:g}"
    return f"{address}#t={utterance.offset:g}{end}"


def _embed(utterance: Utterance) -> str:
    content = io.BytesIO()
    with soundfile.SoundFile(str(utterance.path)) as file:
        rate = file.samplerate
        file.seek(min(round(utterance.offset * rate), file.frames))
        frames = -1 if utterance.duration is None else round(utterance.duration * rate)
        samples = file.read(frames, dtype="float32", always_2d=True)
    if utterance.channel is not None:
        samples = samples[:, utterance.channel]
    soundfile.write(content, samples, rate, format="FLAC", subtype="PCM_16")
    return f"data:audio/flac;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
