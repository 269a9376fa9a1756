"""Recognizer: a trained model that turns recordings into transcripts.

recognizer = ctcasr.load("exp/an4")            # a model file, a run folder, a built-in model
print(recognizer.transcribe("seven.wav").text)
"""

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctcasr.alphabet import Alphabet, Direction, Unit, frames_needed
from ctcasr.batching import pad_waveforms, plan_batches
from ctcasr.config import EMBEDDED, DecodeConfig, RunConfig, parse_config
from ctcasr.decoder import KINDS, ModelPart, TextDecoder, WordSources, read_sources
from ctcasr.decoding import Hypothesis, Word, forced_align
from ctcasr.decoding.hypothesis import words_in_time
from ctcasr.decoding.word_boundaries import find_word_spans
from ctcasr.device import pick_device
from ctcasr.errors import AlphabetError, AudioError, InfeasibleAlignmentError, ModelFileError
from ctcasr.frontends.feature_stats import FeatureStats
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.frontends.level import frame_levels
from ctcasr.frontends.waveform import read_audio, resample, select_channel
from ctcasr.model_file import ModelFile, read_model, write_model
from ctcasr.models.network import Network
from ctcasr.text_rules import apply_rules
from ctcasr.transcript import Alternative, Failure, TimedLabel, TimedWord, Transcript

SUBWORD_MODEL = "model.alphabet.sentencepiece"
PART_TENSORS: Mapping[str, str] = {"lm": "lm.arpa", "lexicon": "lm.lexicon"}
"""The tensors whose bytes are the files of decode.lm and decode.lexicon."""
ALIGNMENT = {"search": "forced_align"}
"""What stands for the search in the transcript of a known text."""
_DECODERS_KEPT = 4
_SILENCE = 1e-4  # peak, full scale 1: below -80 dB there is nothing that a microphone has heard


_Kept = TypeVar("_Kept")


@dataclass(frozen=True, slots=True)
class Recording:
    """Samples to transcribe, and what to call them.

    Attributes:
        samples: (N,) float32 at the model's rate.
        id: the item's.
        source: the path, or None.
        channel: of the file, where it has several.
        offset: seconds from the file's beginning.
        stored_rate: samples per second before resampling.
    """

    samples: NDArray[np.float32]
    id: str
    source: str | None = None
    channel: int | None = None
    offset: float = 0.0
    stored_rate: int | None = None


class Recognizer:
    """A model, ready to transcribe.

    Args:
        config: what the model was trained with.
        alphabet: its labels.
        network: its weights; moved to `device` and put in evaluation mode.
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
        stats: FeatureStats | None = None,
        device: torch.device | None = None,
        name: str = "",
        sha256: str = "",
        header: Mapping[str, Any] | None = None,
        parts: Mapping[str, ModelPart] | None = None,
    ) -> None:
        self.config = config
        self.alphabet = alphabet
        self.device = device or torch.device("cpu")
        self.network = network.to(self.device).eval()
        self.features = FeatureExtractor(config.frontend, stats).to(self.device)
        self.name = name
        self.sha256 = sha256
        self.header = header or {}
        self.parts = parts or {}
        self._decoders: dict[str, TextDecoder] = {}
        self._sources: dict[str, WordSources] = {}

    @property
    def sample_rate(self) -> int:
        """Samples per second that the model hears."""
        return self.config.frontend.sample_rate

    @property
    def frame_shift(self) -> float:
        """Seconds from one encoder frame to the next."""
        return self.config.frontend.hop * self.config.encoder.stride / self.sample_rate

    def transcribe(
        self,
        audio: str | Path | NDArray[np.floating[Any]],
        *,
        sample_rate: int | None = None,
        channel: int | None = None,
        decode: DecodeConfig | None = None,
    ) -> Transcript:
        """Return the transcript of one recording.

        Args:
            audio: a path, or samples: (N,) or (channels, N) floats, full scale -1 to 1.
            sample_rate: of the samples, in Hz; needed for an array only.
            channel: which channel, from 0; needed where channels differ.
            decode: how to search; the model's own way where not given.

        Raises:
            AudioError: it cannot be read, holds NaN, or its channels differ and none is chosen.
        """
        recording = self.prepare(audio, sample_rate=sample_rate, channel=channel)
        return self.transcribe_batch([recording], decode=decode)[0]

    def prepare(
        self,
        audio: str | Path | NDArray[np.floating[Any]],
        *,
        sample_rate: int | None = None,
        channel: int | None = None,
    ) -> Recording:
        """Read or take over a recording, choose its channel, and resample it for the model.

        Raises:
            AudioError: see `transcribe`.
        """
        if isinstance(audio, str | Path):
            stored, rate = read_audio(Path(audio))
            item, source = Path(audio).stem, str(audio)
        else:
            stored, rate = check_samples(audio, sample_rate)
            item, source = "array", None
        chosen = select_channel(stored, channel=channel, item=source or item)
        samples = resample(chosen, from_rate=rate, to_rate=self.sample_rate)
        return Recording(samples, item, source, channel, stored_rate=rate)

    def transcribe_batch(
        self,
        recordings: Sequence[Recording],
        *,
        decode: DecodeConfig | None = None,
        batch_size: int | None = None,
        workers: int = 1,
    ) -> list[Transcript]:
        """Return transcripts in the order of the recordings, whatever the batches.

        Args:
            recordings: see `prepare`.
            decode: how to search; the model's own way where not given.
            batch_size: most recordings computed together.
            workers: threads that search.

        Raises:
            CtcasrError: see `decoder`.
        """
        decode = decode or self.config.decode
        decoder = self.decoder(decode, workers=workers)
        transcripts = {
            index: self._transcript(recordings[index], hypotheses, decoder, nbest=decode.nbest)
            for batch, rows in self._heard(recordings, batch_size)
            for index, hypotheses in zip(batch, decoder(rows), strict=True)
        }
        return [transcripts[index] for index in range(len(recordings))]

    def decoder(self, decode: DecodeConfig | None = None, *, workers: int = 1) -> TextDecoder:
        """Return the search with some settings, built once and kept.

        Args:
            decode: how to search; the model's own way where not given.
            workers: threads that search.

        Raises:
            LanguageModelError, LexiconError: one that is asked for is not there, cannot be read, or
                is not the one that the model was tuned with.
            ConfigError, HotwordError: settings that do not go together, or cannot be spelt.
        """
        decode = decode or self.config.decode
        key = f"{workers} {decode.model_dump_json()}"
        if key not in self._decoders:
            sources = self.sources(decode)
            decoder = TextDecoder(decode, self.alphabet, sources, workers=workers)
            _remember(self._decoders, key, decoder)
        return self._decoders[key]

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

    def emissions(
        self, recordings: Sequence[Recording], *, batch_size: int | None = None
    ) -> list[NDArray[np.float32]]:
        """Return what the search of `transcribe_batch` is given for each recording.

        Returns:
            (T', V) natural-log probabilities; T' is 0 for digital silence.
        """
        found = {
            index: log_probs
            for batch, rows in self._heard(recordings, batch_size)
            for index, log_probs in zip(batch, rows, strict=True)
        }
        return [found[index] for index in range(len(recordings))]

    def align(
        self,
        recordings: Sequence[Recording],
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
        """
        transcripts = {
            index: self._align(recordings[index], texts[index], log_probs)
            for batch, rows in self._heard(recordings, batch_size)
            for index, log_probs in zip(batch, rows, strict=True)
        }
        return [transcripts[index] for index in range(len(recordings))]

    def _heard(
        self, recordings: Sequence[Recording], batch_size: int | None
    ) -> Iterator[tuple[Sequence[int], list[NDArray[np.float32]]]]:
        """Yield batches of like length: the recordings' indices and (T', V) log-probabilities.

        T' is 0 for digital silence: normalised, it would look like speech that the model never
        heard.
        """
        lengths = [self.config.frontend.num_frames(len(r.samples)) for r in recordings]
        budget = self.config.data.batch_frames
        for batch in plan_batches(lengths, max_frames=budget, max_items=batch_size):
            rows = self.log_probs([recordings[index].samples for index in batch])
            yield (
                batch,
                [
                    log_probs[:0] if _is_silent(recordings[index]) else log_probs
                    for index, log_probs in zip(batch, rows, strict=True)
                ],
            )

    def log_probs(self, waveforms: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Return (T', V) natural-log label probabilities for each waveform (N,)."""
        padded, lengths = pad_waveforms(waveforms)
        with torch.inference_mode():
            features, frames = self.features(padded.to(self.device), lengths.to(self.device))
            logits, frames = self.network(features, frames)
            rows = logits.float().log_softmax(-1).cpu().numpy()
        return [row[:length] for row, length in zip(rows, frames.tolist(), strict=True)]

    def describe_model(self) -> dict[str, Any]:
        """Return the model's name and hash, as transcripts and results name it."""
        return {"name": self.name, "sha256": self.sha256}

    def _transcript(
        self,
        recording: Recording,
        hypotheses: Sequence[Hypothesis],
        decoder: TextDecoder,
        *,
        nbest: int,
    ) -> Transcript:
        best = hypotheses[0]
        return Transcript(
            id=recording.id,
            source=recording.source,
            channel=recording.channel,
            model=self.describe_model(),
            decoder=decoder.description,
            text=best.text,
            duration=self._seconds(recording),
            offset=recording.offset,
            words=self._timed_words(recording, best.words),
            log_prob=best.log_prob,
            confidence=best.confidence,
            nbest=tuple(
                Alternative(other.text, other.log_prob)
                for other in (hypotheses if nbest > 1 else ())
            ),
        )

    def _align(self, recording: Recording, text: str, log_probs: NDArray[np.float32]) -> Transcript:
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
            duration=self._seconds(recording),
            words=self._timed_words(recording, words_in_time(alphabet, labels, spans)),
            labels=self._timed_labels(recording, labels, spans),
            log_prob=float(log_probs[np.arange(len(path)), path].sum(dtype=np.float64)),
        )

    def _require_alignable(
        self, recording: Recording, labels: Sequence[int], *, num_frames: int
    ) -> None:
        if labels and _is_silent(recording):
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

    def _timed_words(self, recording: Recording, words: Sequence[Word]) -> tuple[TimedWord, ...]:
        """Return words in seconds; their spikes widened to where they begin and end."""
        frontend, stride = self.config.frontend, self.config.encoder.stride
        levels = frame_levels(
            recording.samples, hop=frontend.hop, window=max(frontend.window, frontend.hop)
        )
        spikes = [(word.start * stride, min(word.end * stride, len(levels))) for word in words]
        spans = find_word_spans(spikes, levels, frame_s=frontend.hop / self.sample_rate)
        return tuple(
            TimedWord(
                word.text, *self._interval(recording, span, hop=frontend.hop), word.confidence
            )
            for word, span in zip(words, spans, strict=True)
        )

    def _timed_labels(
        self, recording: Recording, labels: Sequence[int], spans: Sequence[tuple[int, int]]
    ) -> tuple[TimedLabel, ...]:
        hop = self.config.frontend.hop * self.config.encoder.stride
        return tuple(
            TimedLabel(self.alphabet.labels[label], *self._interval(recording, span, hop=hop))
            for label, span in zip(labels, spans, strict=True)
        )

    def _interval(
        self, recording: Recording, span: tuple[int, int], *, hop: int
    ) -> tuple[float, float]:
        """Return frames [start, end) of `hop` samples as seconds from the file's beginning."""
        start, end = (min(frame * hop, len(recording.samples)) for frame in span)
        return (
            recording.offset + start / self.sample_rate,
            recording.offset + end / self.sample_rate,
        )

    def _seconds(self, recording: Recording) -> float:
        return len(recording.samples) / self.sample_rate


def _is_silent(recording: Recording) -> bool:
    return not len(recording.samples) or bool(np.abs(recording.samples).max() < _SILENCE)


def _remember(kept: dict[str, _Kept], key: str, value: _Kept) -> None:
    """Keep a value, and no more than a few of them."""
    while len(kept) >= _DECODERS_KEPT:
        del kept[next(iter(kept))]
    kept[key] = value


def load(model: str | Path, *, device: str = "auto") -> Recognizer:
    """Load a model.

    Args:
        model: a model file, a run folder, or the name of a built-in model.
        device: `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.

    Raises:
        ModelFileError: missing, cut short, of another kind, or of a newer format.
        ConfigError: the device is not there.
    """
    path = find_model(model)
    stored = read_model(path)
    name = path.parent.name if path.name == "model.safetensors" else path.stem
    return recognizer_from_file(stored, name=name, device=pick_device(device))


def find_model(model: str | Path) -> Path:
    """Return the file that a model argument means.

    Raises:
        ModelFileError: it means none; the message says what there is.
    """
    path = Path(model)
    if path.is_dir():
        if (path / "model.safetensors").is_file():
            return path / "model.safetensors"
        raise ModelFileError(
            f"{path}: a folder without model.safetensors; give a run that has finished, or go on "
            f"with it: ctcasr train CONFIG -o {path} --resume"
        )
    if path.is_file():
        return path
    names = builtin_models()
    if str(model) in names:
        return Path(str(resources.files("ctcasr") / "pretrained" / f"{model}.safetensors"))
    near = difflib.get_close_matches(str(model), names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"built-in: {', '.join(names) or 'none'}"
    raise ModelFileError(f"{model}: no such model file, run folder or built-in model; {hint}")


def builtin_models() -> list[str]:
    """Return the names of the models that ship with ctcasr."""
    folder = resources.files("ctcasr") / "pretrained"
    if not folder.is_dir():
        return []
    return sorted(
        entry.name.removesuffix(".safetensors")
        for entry in folder.iterdir()
        if entry.name.endswith(".safetensors")
    )


def recognizer_from_file(stored: ModelFile, *, name: str, device: torch.device) -> Recognizer:
    """Build a recognizer from what a model file holds.

    Raises:
        ModelFileError: header and tensors do not make a model.
    """
    header, tensors = stored.header, dict(stored.tensors)
    try:
        config = parse_config(header["config"], name=f"model {name}")
        alphabet = _alphabet_from_header(header["alphabet"], tensors.pop(SUBWORD_MODEL, None))
        measured = header["feature_stats"]
        stats = (
            FeatureStats(torch.tensor(measured["mean"]), torch.tensor(measured["deviation"]))
            if measured
            else None
        )
        network = Network(
            config.encoder, num_features=config.frontend.num_features, num_labels=len(alphabet)
        )
        parts = _parts_of(header, tensors)
        weights = {key.removeprefix("model."): tensor for key, tensor in tensors.items()}
        network.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(
            f"model {name}: header and tensors do not fit together ({reason}); the file is damaged "
            f"or was changed; train it again"
        ) from error
    return Recognizer(
        config,
        alphabet,
        network,
        stats=stats,
        device=device,
        name=name,
        sha256=stored.sha256,
        header=header,
        parts=parts,
    )


def save_recognizer(
    path: Path,
    recognizer: Recognizer,
    *,
    training: Mapping[str, Any],
    created_with: str,
    name_only: bool = False,
) -> None:
    """Write a recognizer as one model file.

    The language model and lexicon that its decoder uses go with it.

    Args:
        path: where to.
        recognizer: what to write.
        training: items, amount, unit, manifest_sha256, scores.
        created_with: name and version of the program.
        name_only: language model and lexicon are only named, by hash; who decodes must give them.

    Raises:
        LanguageModelError, LexiconError: one that its decoder uses is not there any more.
        OutputError: it cannot be written.
    """
    config, alphabet = recognizer.config, recognizer.alphabet
    stats = recognizer.features.stats
    # Manifests are the owner's business; a model says what it is, not where it was made.
    values = config.model_dump(mode="json")
    values["data"] |= {"train": None, "dev": None}
    values["training"] |= {"init_from": None}
    sources = recognizer.sources()
    tensors: dict[str, Tensor] = {
        f"model.{key}": tensor for key, tensor in recognizer.network.state_dict().items()
    }
    if alphabet.subword_model is not None:
        tensors[SUBWORD_MODEL] = torch.frombuffer(
            bytearray(alphabet.subword_model), dtype=torch.uint8
        )
    for kind, part in sources.parts.items():
        values["decode"] |= {
            kind: None if name_only else EMBEDDED,
            f"{kind}_sha256": part.sha256 if name_only else None,
        }
        if not name_only:
            content = bytearray(sources.read_bytes(kind))
            tensors[PART_TENSORS[kind]] = torch.frombuffer(content, dtype=torch.uint8)
    header = {
        "created_with": created_with,
        "modality": "audio",
        "config": values,
        "alphabet": {
            "labels": list(alphabet.labels),
            "blank": alphabet.blank,
            "unit": alphabet.unit.value,
            "direction": alphabet.direction.value,
        },
        "sample_rate": recognizer.sample_rate,
        "frame_shift": recognizer.frame_shift,
        "feature_stats": (
            {"mean": stats.mean.tolist(), "deviation": stats.deviation.tolist()} if stats else None
        ),
        "rules": list(config.text.rules),
        "decoder": recognizer.decoder().description,
        "calibration": recognizer.header.get("calibration"),
        "training": dict(training),
        "licence": recognizer.header.get("licence"),  # its owner's to choose
    }
    write_model(path, header=header, tensors=tensors)


def _parts_of(header: Mapping[str, Any], tensors: dict[str, Tensor]) -> dict[str, ModelPart]:
    """Return the language model and lexicon of a model, and take them out of its tensors.

    Raises:
        ValueError: one is missing, or is not what the header says.
    """
    parts = {}
    for kind, (what, _) in KINDS.items():
        stored = tensors.pop(PART_TENSORS[kind], None)
        named = header["decoder"].get(kind)
        wanted = header["config"].get("decode", {}).get(kind)
        if wanted == EMBEDDED and (stored is None or named is None):
            raise ValueError(f"its {what} is missing")
        if named is None:
            continue
        content = None if stored is None else stored.numpy().tobytes()
        if content is not None and hashlib.sha256(content).hexdigest() != named["sha256"]:
            raise ValueError(f"its {what} is not the one with SHA-256 {named['sha256']}")
        parts[kind] = ModelPart(named["name"], named["sha256"], content)
    return parts


def _alphabet_from_header(values: Mapping[str, Any], subword_model: Tensor | None) -> Alphabet:
    return Alphabet(
        tuple(values["labels"]),
        blank=values["blank"],
        unit=Unit(values["unit"]),
        direction=Direction(values["direction"]),
        subword_model=None if subword_model is None else subword_model.numpy().tobytes(),
    )


def check_samples(
    given: NDArray[np.floating[Any]], sample_rate: int | None
) -> tuple[NDArray[np.float32], int]:
    """Return samples of one's own as (channels, N) float32, and their rate.

    Raises:
        AudioError: no rate, not floats, not one or two axes, axes exchanged, NaN.
    """
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
