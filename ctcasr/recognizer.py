"""Recognizer: a trained model that turns recordings, pen strokes or images into transcripts.

recognizer = ctcasr.load("exp/an4")            # a model file, a run folder, a built-in model
print(recognizer.transcribe("seven.wav").text)
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctcasr.alphabet import Alphabet, frames_needed
from ctcasr.config import RunConfig
from ctcasr.decode_config import DecodeConfig, Segmenting
from ctcasr.decoder import (
    KINDS,
    Emissions,
    HeadsApart,
    LabelModels,
    ModelPart,
    TextDecoder,
    WordSources,
    describe_decoder,
    read_sources,
)
from ctcasr.decoding import Hypothesis, forced_align
from ctcasr.decoding.hypothesis import words_in_time
from ctcasr.decoding.segmentation import LONG_SECONDS, cut_at_pauses, join_hypotheses
from ctcasr.errors import (
    AlphabetError,
    AudioError,
    ConfigError,
    InfeasibleAlignmentError,
    ItemError,
)
from ctcasr.frontends.feature_stats import FeatureStats
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.frontends.image.features import ImageFrontendConfig
from ctcasr.frontends.image.line_image import LineImage
from ctcasr.frontends.ink.features import InkFrontendConfig
from ctcasr.frontends.ink.strokes import Ink
from ctcasr.frontends.medium import Signal
from ctcasr.frontends.sound.pauses import cut_in_pauses
from ctcasr.frontends.sound.spectral import FrontendConfig
from ctcasr.hearing import Heard, Part, hear, hear_batches
from ctcasr.items import Item, image_item, ink_item, read_items, sound_item
from ctcasr.manifest.utterance import Modality, Utterance
from ctcasr.models.attention import AttentionSteps
from ctcasr.models.network import Network
from ctcasr.places import make_places
from ctcasr.scoring.disagreement import disagreement
from ctcasr.streaming import EmissionStream, StreamingRecognizer, require_streamable
from ctcasr.text_rules import apply_rules
from ctcasr.transcript import (
    Alternative,
    Failure,
    Segment,
    TimedLabel,
    TimedWord,
    Transcript,
    UtteranceLabel,
)

ALIGNMENT = {"search": "forced_align"}
"""What stands for the search in the transcript of a known text."""
_DECODERS_KEPT = 4

_Kept = TypeVar("_Kept")

Watch = Callable[
    ["Item", NDArray[np.float32], Sequence[Hypothesis], Transcript, Tensor | None], None
]
"""Is shown an item, its (T', V) log-probabilities by CTC, what was found, its transcript, and its
(T', F) encoder frames where there is an attention decoder."""


class Recognizer:
    """A model, ready to transcribe.

    Args:
        config: what the model was trained with.
        alphabet: its labels.
        network: its weights; moved to `device` and put in evaluation mode.
        classes: labels of whole recordings, in the order of the utterance head's columns.
        frame_classes: the same of frames and the frame head; the first one stands for nothing.
        stats: of the training set, where the frontend normalises by them.
        device: where to compute.
        name, sha256, header: what the model is called and says of itself.
        parts: the language model and lexicon that belong to it, by setting ("lm", "lexicon").
    """

    def __init__(
        self,
        config: RunConfig,
        alphabet: Alphabet,
        network: Network,
        *,
        classes: Sequence[str] = (),
        frame_classes: Sequence[str] = (),
        stats: FeatureStats | None = None,
        device: torch.device | None = None,
        name: str = "",
        sha256: str = "",
        header: Mapping[str, Any] | None = None,
        parts: Mapping[str, ModelPart] | None = None,
    ) -> None:
        self.config = config
        self.alphabet = alphabet
        self.classes = tuple(classes)
        self.frame_classes = tuple(frame_classes)
        self.device = device or torch.device("cpu")
        self.network = network.to(self.device).eval()
        self.features = FeatureExtractor(config.frontend, stats).to(self.device)
        self.medium = config.medium
        self.places = make_places(config.frontend, config.encoder.frames_per_output)
        self.name = name
        self.sha256 = sha256
        self.header = header or {}
        self.parts = parts or {}
        self._decoders: dict[str, TextDecoder] = {}
        self._sources: dict[str, WordSources] = {}

    @property
    def modality(self) -> Modality:
        """What it reads."""
        return self.medium.modality

    @property
    def sample_rate(self) -> int:
        """Samples per second that the model hears.

        Raises:
            ConfigError: it reads no recordings.
        """
        return self._sound().sample_rate

    def _sound(self) -> FrontendConfig:
        if not isinstance(self.config.frontend, FrontendConfig):
            raise ConfigError(
                f"model {self.name}: reads {self.modality.items}, and this needs recordings; take "
                f"another model"
            )
        return self.config.frontend

    @property
    def writes_text(self) -> bool:
        """Whether a head writes text; if not, all it gives is labels of recordings or of frames."""
        return self.config.heads.write_text

    @property
    def frame_shift(self) -> float:
        """From one encoder frame to the next: seconds, or points of resampled ink."""
        return self.config.frame_shift

    def transcribe(
        self,
        source: str | Path | NDArray[np.floating[Any]] | Ink | LineImage,
        *,
        sample_rate: int | None = None,
        channel: int | None = None,
        decode: DecodeConfig | None = None,
    ) -> Transcript:
        """Return the transcript of one item.

        Args:
            source: a path; or samples: (N,) or (channels, N) floats, full scale -1 to 1; or
                ink, or the image of a line.
            sample_rate: of the samples, in Hz; needed for an array only.
            channel: which channel, from 0; needed where channels differ.
            decode: how to search; the model's own way where not given.

        Raises:
            ItemError: it cannot be read, holds NaN, its channels differ and none is chosen, or the
                model reads something else.
        """
        item = self.prepare(source, sample_rate=sample_rate, channel=channel)
        return self.transcribe_batch([item], decode=decode)[0]

    def prepare(
        self,
        source: str | Path | NDArray[np.floating[Any]] | Ink | LineImage,
        *,
        sample_rate: int | None = None,
        channel: int | None = None,
    ) -> Item:
        """Read or take over an item, and bring it to what the model reads.

        Raises:
            ItemError: see `transcribe`.
        """
        frontend = self.config.frontend
        if isinstance(source, str | Path):
            path = Path(source)
            utterance = Utterance(id=path.stem, path=path, modality=self.modality, channel=channel)
            return replace(read_items(utterance, frontend)[0], source=str(source))
        if isinstance(source, Ink):
            if not isinstance(frontend, InkFrontendConfig):
                raise ItemError(f"ink: model {self.name} reads {self.modality.items}")
            return ink_item(source, frontend, item="ink")
        if isinstance(source, LineImage):
            if not isinstance(frontend, ImageFrontendConfig):
                raise ItemError(f"image: model {self.name} reads {self.modality.items}")
            return image_item(source, frontend, item="image")
        return sound_item(source, self._sound(), sample_rate=sample_rate, channel=channel)

    def transcribe_batch(
        self,
        recordings: Sequence[Item],
        *,
        decode: DecodeConfig | None = None,
        batch_size: int | None = None,
        workers: int = 1,
        watch: Watch | None = None,
    ) -> list[Transcript]:
        """Return transcripts in the order of the recordings, whatever the batches.

        Args:
            recordings: see `prepare`.
            decode: how to search; the model's own way where not given.
            batch_size: most recordings computed together.
            workers: threads that search.
            watch: is shown how each text came about, batch by batch.

        Raises:
            CtcasrError: see `decoder`.
        """
        decode = decode or self.config.decode
        transcripts: dict[int, Transcript] = {}
        decoder = self.decoder(decode, workers=workers) if self.writes_text else None
        cut = self._parts if self._may_hear_parts(decode) else None
        for batch, heard in self._batches(recordings, batch_size, cut=cut):
            labelled = [
                self._labelled(recordings[index], frames, whole, nbest=decode.nbest)
                for index, frames, whole in zip(batch, heard.frames, heard.whole, strict=True)
            ]
            if decoder is None:
                transcripts |= zip(batch, labelled, strict=True)
                continue
            found_in_batch = self._search(heard, decoder, decode)
            apart = self._compare(heard, decode)
            for at, (index, found, label) in enumerate(
                zip(batch, found_in_batch, labelled, strict=True)
            ):
                recording = recordings[index]
                transcript = self._transcript(recording, found, decoder, nbest=decode.nbest)
                transcript = replace(
                    transcript,
                    label=label.label,
                    frames=label.frames,
                    disagreement=disagreement(*apart[at]) if apart else None,
                )
                transcripts[index] = transcript
                if watch is not None:
                    encoded = heard.encoded[at] if heard.encoded else None
                    watch(recording, heard.labels[at], found.hypotheses, transcript, encoded)
        return [transcripts[index] for index in range(len(recordings))]

    def stream(
        self, decode: DecodeConfig | None = None, *, source: str | None = None
    ) -> StreamingRecognizer:
        """Begin a recording that is given bit by bit, and ends in what `transcribe` gives.

        Args:
            decode: how to search; the model's own way where not given. Nothing is cut at pauses,
                whatever `segment` says.
            source: of the samples, for the transcript.

        Raises:
            ConfigError: the model needs the whole recording; the message names the key.
            CtcasrError: see `decoder`.
        """
        decode = (decode or self.config.decode).model_copy(update={"segment": Segmenting.NONE})
        require_streamable(self.config, name=self.name)
        decoder = self.decoder(decode)

        def make_transcript(
            samples: NDArray[np.float32], hypotheses: Sequence[Hypothesis]
        ) -> Transcript:
            recording = Item(samples, "stream", source)
            return self._transcript(recording, _Found(hypotheses), decoder, nbest=decode.nbest)

        return StreamingRecognizer(
            EmissionStream(self.features, self.network, self.device),
            decoder,
            self.alphabet,
            sample_rate=self.sample_rate,
            make_transcript=make_transcript,
        )

    def _search(self, heard: Heard, decoder: TextDecoder, decode: DecodeConfig) -> list["_Found"]:
        """Search what was heard: part by part, and a part that is long in segments of its own."""
        cuts = self._cuts(heard, decode)
        found = iter(decoder(*_pieces(heard, cuts)))
        return [
            _Found.of(self.alphabet, segments, [next(found) for _ in segments]) for segments in cuts
        ]

    def _cuts(self, heard: Heard, decode: DecodeConfig) -> list[list[Part]]:
        """Return the frames [start, end) of each recording that are searched by themselves."""
        return [
            [segment for part in parts for segment in self._segments(row, part, decode)]
            for row, parts in zip(heard.labels, heard.parts, strict=True)
        ]

    def _segments(
        self, log_probs: NDArray[np.float32], part: Part, decode: DecodeConfig
    ) -> list[Part]:
        """Return the frames [start, end) that are searched one after another, of those of a part.

        Pauses are where CTC hears blanks, so without it nothing is cut.
        """
        first, end = part
        is_long = (end - first) * self.frame_shift > LONG_SECONDS
        if not (is_long and self._may_cut(decode) and self.config.heads.ctc.is_present):
            return [part]
        cuts = cut_at_pauses(log_probs[first:end], self.alphabet, frame_s=self.frame_shift)
        return [(first + start, first + stop) for start, stop in cuts]

    def _compare(self, heard: Heard, decode: DecodeConfig) -> Sequence[tuple[str, str]]:
        """Return what CTC and attention write alone, where that is asked for."""
        if not decode.compare:
            return ()
        apart = HeadsApart(
            self.alphabet,
            heads=self.config.heads,
            attention=self.attention,
            beam=decode.beam,
        )
        cuts = self._cuts(heard, decode)
        texts = iter(apart(*_pieces(heard, cuts)))
        of_each = [[next(texts) for _ in segments] for segments in cuts]
        return [
            (" ".join(filter(None, ctc)), " ".join(filter(None, attention)))
            for ctc, attention in (zip(*some, strict=True) for some in of_each)
        ]

    def _may_cut(self, decode: DecodeConfig) -> bool:
        """Return whether long items are searched in segments: only recordings are that long."""
        return decode.segment is Segmenting.AUTO and self.modality is Modality.AUDIO

    def _may_hear_parts(self, decode: DecodeConfig) -> bool:
        """Return whether long items are heard in parts: not where a head labels the whole."""
        heads = self.config.heads
        labels_whole = heads.frame.is_present or heads.utterance.is_present
        return self._may_cut(decode) and self.writes_text and not labels_whole

    def _parts(self, signal: Signal) -> Sequence[Part]:
        """Return parts [start, end) of a long recording, from pause to pause; one of others."""
        sound = self._sound()
        if len(signal) <= LONG_SECONDS * sound.sample_rate:
            return [(0, len(signal))]
        per_frame = sound.hop * self.config.encoder.frames_per_output
        return cut_in_pauses(signal, rate=sound.sample_rate, multiple_of=per_frame)

    @property
    def attention(self) -> LabelModels | None:
        """The attention decoder, for a search; None of a model without one."""
        if not self.config.heads.attention.is_present:
            return None
        return partial(AttentionSteps, self.network.attention)

    def decoder(self, decode: DecodeConfig | None = None, *, workers: int = 1) -> TextDecoder:
        """Return the search with some settings, built once and kept.

        Args:
            decode: how to search; the model's own way where not given.
            workers: threads that search; 0 counts as 1.

        Raises:
            LanguageModelError, LexiconError: one that is asked for is not there, cannot be read, or
                is not the one that the model was tuned with.
            ConfigError, HotwordError: settings that do not go together, or cannot be spelt; the
                model writes no text.
        """
        self._require_text()
        decode = decode or self.config.decode
        key = f"{workers} {decode.model_dump_json()}"
        if key not in self._decoders:
            sources = self.sources(decode)
            decoder = TextDecoder(
                decode,
                self.alphabet,
                sources,
                workers=workers,
                temperature=self._temperature(decode, sources),
                heads=self.config.heads,
                attention=self.attention,
            )
            _remember(self._decoders, key, decoder)
        return self._decoders[key]

    def describe_decoder(
        self, decode: DecodeConfig | None = None, *, workers: int = 1
    ) -> Mapping[str, Any]:
        """Return how transcripts come about, as they and results name it; see `decoder`."""
        if self.writes_text:
            return self.decoder(decode, workers=workers).description
        heads = self.config.heads
        if heads.frame.is_present:
            return {"search": "label of each frame", "field": heads.frame.field}
        return {"search": "label of the whole", "field": heads.utterance.field}

    def notes(self, decode: DecodeConfig | None = None, *, workers: int = 1) -> Sequence[str]:
        """Return what a user should know of some decode settings; see `decoder`.

        Raises:
            ConfigError: they weigh words, and the model writes none.
        """
        if self.writes_text:
            return self.decoder(decode, workers=workers).notes
        if decode is not None and decode.weighs_words:
            self._require_text()
        return ()

    def _require_text(self) -> None:
        if not self.writes_text:
            raise ConfigError(
                f"model {self.name}: has no CTC head, so that it gives labels of recordings or "
                f"frames ({self.describe_decoder()['field']}) and no text to search, align or "
                f"show; use `ctcasr transcribe` or `evaluate` without language model, lexicon and "
                f"hotwords, or train with heads.ctc.weight=1"
            )

    def _require_ctc(self) -> None:
        self._require_text()
        if not self.config.heads.ctc.is_present:
            raise ConfigError(
                f"model {self.name}: has an attention decoder and no CTC head, and this needs the "
                f"frames in which CTC hears labels; take a model that was trained with "
                f"heads.ctc.weight above 0"
            )

    def _temperature(self, decode: DecodeConfig, sources: WordSources) -> float | None:
        """Return the temperature of confidences, where one was fitted for this very search."""
        calibration = self.header.get("calibration")
        heads = self.config.heads
        if calibration and calibration["decoder"] == describe_decoder(
            decode, sources.parts, heads=heads
        ):
            return float(calibration["temperature"])
        return None

    def sources(self, decode: DecodeConfig | None = None) -> WordSources:
        """Return the language model and lexicon that some settings ask for, read once and kept.

        Args:
            decode: how to search; the model's own way where not given.

        Raises:
            LanguageModelError, LexiconError: see `decoder`.
        """
        decode = decode or self.config.decode
        fields = {f"{kind}{suffix}" for kind in KINDS for suffix in ("", "_sha256")}
        key = decode.model_dump_json(include=fields)
        if key not in self._sources:
            _remember(self._sources, key, read_sources(decode, self.parts))
        return self._sources[key]

    def emissions(self, recordings: Sequence[Item], *, batch_size: int | None = None) -> Emissions:
        """Return what is searched, in the recordings' order; long ones, too, are heard whole."""
        found = {
            index: (log_probs, heard.encoded[at] if heard.encoded else None)
            for batch, heard in self._batches(recordings, batch_size)
            for at, (index, log_probs) in enumerate(zip(batch, heard.labels, strict=True))
        }
        rows = [found[index] for index in range(len(recordings))]
        encoded = [frames for _, frames in rows if frames is not None]
        return Emissions([log_probs for log_probs, _ in rows], encoded)

    def align(
        self,
        recordings: Sequence[Item],
        texts: Sequence[str],
        *,
        batch_size: int | None = None,
    ) -> list[Transcript]:
        """Return when each label and word of known texts was said, in the recordings' order.

        Args:
            recordings: see `prepare`.
            texts: what is said in each; the model's text rules are applied.
            batch_size: most recordings computed together.

        Returns:
            Transcripts with `labels`. `log_prob` is that of the one path, natural log. One whose
            text has characters outside the alphabet, needs more frames than there are, or belongs
            to digital silence, has an `error` instead.

        Raises:
            ConfigError: the model has no CTC head.
        """
        self._require_ctc()
        transcripts = {
            index: self._align(recordings[index], texts[index], log_probs)
            for batch, heard in self._batches(recordings, batch_size)
            for index, log_probs in zip(batch, heard.labels, strict=True)
        }
        return [transcripts[index] for index in range(len(recordings))]

    def _batches(
        self,
        recordings: Sequence[Item],
        batch_size: int | None,
        *,
        cut: Callable[[Signal], Sequence[Part]] | None = None,
    ) -> Iterator[tuple[Sequence[int], Heard]]:
        """See `hear_batches`."""
        return hear_batches(
            self.hear,
            recordings,
            self.medium,
            self.config.frontend,
            max_frames=self.config.data.fixed_batch_frames,
            max_items=batch_size,
            cut=cut,
        )

    def log_probs(self, signals: Sequence[Signal]) -> list[NDArray[np.float32]]:
        """Return (T', V) natural-log label probabilities for each signal.

        Raises:
            ConfigError: the model has no CTC head.
        """
        self._require_ctc()
        return self.hear(signals).labels

    def hear(self, signals: Sequence[Signal]) -> Heard:
        """Return what the heads make of signals: samples (N,) or frames (N, F)."""
        return hear(self.network, self.features, signals, self.device)

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the labels of a text after the model's text rules.

        Raises:
            AlphabetError: it has a character that the model does not have.
        """
        return self.alphabet.encode(apply_rules(text, self.config.text.rules))

    def describe_model(self) -> dict[str, Any]:
        """Return the model's name and hash, as transcripts and results name it."""
        return {"name": self.name, "sha256": self.sha256}

    def _transcript(
        self,
        recording: Item,
        found: "_Found",
        decoder: TextDecoder,
        *,
        nbest: int,
    ) -> Transcript:
        best = found.hypotheses[0]
        words = self.places.words(recording, best.words)
        return Transcript(
            id=recording.id,
            source=recording.source,
            channel=recording.channel,
            model=self.describe_model(),
            decoder=decoder.description,
            text=best.text,
            axis=self.places.unit,
            duration=self.places.extent(recording),
            offset=recording.offset,
            words=words,
            segments=found.segments(words),
            log_prob=best.log_prob,
            confidence=best.confidence,
            confidence_kind=decoder.confidence_kind,
            nbest=tuple(
                Alternative(other.text, other.log_prob)
                for other in (found.hypotheses if nbest > 1 else ())
            ),
            times=best.times.value,
            is_cut=best.is_cut,
        )

    def _labelled(
        self,
        recording: Item,
        frames: NDArray[np.float32],
        whole: NDArray[np.float32],
        *,
        nbest: int,
    ) -> Transcript:
        """Return what the heads beside CTC say, as the transcript of a model that has only them."""
        words = self._runs(recording, frames)
        about = Transcript(
            id=recording.id,
            source=recording.source,
            channel=recording.channel,
            model=self.describe_model(),
            decoder={} if self.writes_text else self.describe_decoder(),
            axis=self.places.unit,
            duration=self.places.extent(recording),
            offset=recording.offset,
            text=" ".join(word.text for word in words),
            words=words,
            frames=words,
        )
        field = self.config.heads.utterance.field
        if field is None:
            return about
        order = np.argsort(-whole, kind="stable")
        label, log_prob = self.classes[order[0]], float(whole[order[0]])
        confidence = float(np.exp(log_prob))
        about = replace(about, label=UtteranceLabel(field, label, confidence))
        if self.config.heads.frame.is_present:
            return about
        return replace(
            about,
            text=label,
            log_prob=log_prob,
            confidence=confidence,
            nbest=tuple(
                Alternative(self.classes[other], float(whole[other]))
                for other in (order[:nbest] if nbest > 1 else ())
            ),
        )

    def _runs(self, recording: Item, log_probs: NDArray[np.float32]) -> tuple[TimedWord, ...]:
        """Return stretches of frames with the same most probable class, but those of nothing."""
        if not log_probs.size:
            return ()
        best = log_probs.argmax(-1)
        edges = [0, *(np.flatnonzero(np.diff(best)) + 1).tolist(), len(best)]
        return tuple(
            TimedWord(
                self.frame_classes[best[start]],
                *self.places.output_interval(recording, (start, end)),
                confidence=float(np.exp(log_probs[start:end, best[start]]).mean()),
            )
            for start, end in itertools.pairwise(edges)
            if best[start] != 0
        )

    def _align(self, recording: Item, text: str, log_probs: NDArray[np.float32]) -> Transcript:
        alphabet = self.alphabet
        about = Transcript(
            id=recording.id,
            source=recording.source,
            channel=recording.channel,
            model=self.describe_model(),
            decoder=ALIGNMENT,
            offset=recording.offset,
        )
        text = apply_rules(text, self.config.text.rules)
        try:
            labels = alphabet.encode(text)
            self._require_alignable(recording, labels, num_frames=len(log_probs))
        except AlphabetError as error:
            return replace(about, error=Failure("AlphabetError", f"{recording.id}: {error}"))
        except (AudioError, InfeasibleAlignmentError) as error:
            return replace(about, error=Failure(type(error).__name__, str(error)))
        spans = forced_align(log_probs, labels, blank=alphabet.blank)
        path = np.full(len(log_probs), alphabet.blank)
        for label, (start, end) in zip(labels, spans, strict=True):
            path[start:end] = label
        return replace(
            about,
            text=text,
            axis=self.places.unit,
            duration=self.places.extent(recording),
            words=self.places.words(recording, words_in_time(alphabet, labels, spans)),
            labels=self._timed_labels(recording, labels, spans),
            log_prob=float(log_probs[np.arange(len(path)), path].sum(dtype=np.float64)),
        )

    def _require_alignable(
        self, recording: Item, labels: Sequence[int], *, num_frames: int
    ) -> None:
        if labels and self.medium.is_empty(recording.signal):
            raise AudioError(
                f"{recording.id}: digital silence, but the text has {len(labels)} labels; mend the "
                f'recording, or set its text to ""'
            )
        needed = frames_needed(labels)
        if num_frames < needed:
            raise InfeasibleAlignmentError(
                recording.id,
                frames=num_frames,
                labels=len(labels),
                repeats=needed - len(labels),
            )

    def _timed_labels(
        self, recording: Item, labels: Sequence[int], spans: Sequence[tuple[int, int]]
    ) -> tuple[TimedLabel, ...]:
        return tuple(
            TimedLabel(self.alphabet.labels[label], *self.places.output_interval(recording, span))
            for label, span in zip(labels, spans, strict=True)
        )


def _pieces(heard: Heard, cuts: Sequence[Sequence[Part]]) -> Emissions:
    """Return what is searched, piece by piece: of each recording the frames of each cut."""
    return Emissions(
        [
            row[start:end]
            for row, segments in zip(heard.labels, cuts, strict=True)
            for start, end in segments
        ],
        [
            frames[start:end]
            for frames, segments in zip(heard.encoded, cuts, strict=False)
            for start, end in segments
        ],
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """What the search found in a recording.

    Attributes:
        hypotheses: of the whole, best first.
        words: how many each segment has in the best one; None where it was not cut.
    """

    hypotheses: Sequence[Hypothesis]
    words: tuple[int, ...] | None = None

    @classmethod
    def of(
        cls,
        alphabet: Alphabet,
        segments: Sequence[tuple[int, int]],
        found: Sequence[Sequence[Hypothesis]],
    ) -> "_Found":
        """Return what the searches of a recording's segments make together."""
        if len(segments) == 1:
            return cls(found[0])
        counts = tuple(len(hypotheses[0].words) for hypotheses in found)
        return cls(join_hypotheses(alphabet, segments, found), counts)

    def segments(self, words: Sequence[TimedWord]) -> tuple[Segment, ...]:
        """Return the segments in which something was said."""
        rest = iter(words)
        parts = [tuple(itertools.islice(rest, count)) for count in self.words or ()]
        return tuple(
            Segment(" ".join(word.text for word in part), part[0].start, part[-1].end)
            for part in parts
            if part
        )


def _remember(kept: dict[str, _Kept], key: str, value: _Kept) -> None:
    """Keep a value, and no more than a few of them."""
    while len(kept) >= _DECODERS_KEPT:
        del kept[next(iter(kept))]
    kept[key] = value
