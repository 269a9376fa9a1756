"""Recognizer: a trained model that turns recordings into transcripts.

recognizer = ctcasr.load("exp/an4")            # a model file, a run folder, a built-in model
print(recognizer.transcribe("seven.wav").text)
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctcasr.alphabet import Alphabet, Direction, Unit
from ctcasr.batching import pad_waveforms, plan_batches
from ctcasr.config import DecodeConfig, RunConfig, parse_config
from ctcasr.decoding import Hypothesis, PrefixBeamDecoder, best_path
from ctcasr.device import pick_device
from ctcasr.errors import AudioError, ModelFileError
from ctcasr.frontends.feature_stats import FeatureStats
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.frontends.waveform import read_audio, resample, select_channel
from ctcasr.model_file import ModelFile, read_model, write_model
from ctcasr.models.network import Network
from ctcasr.transcript import Alternative, TimedWord, Transcript

SUBWORD_MODEL = "model.alphabet.sentencepiece"
_SILENCE = 1e-4  # peak, full scale 1: below -80 dB there is nothing that a microphone has heard


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
    ) -> None:
        self.config = config
        self.alphabet = alphabet
        self.device = device or torch.device("cpu")
        self.network = network.to(self.device).eval()
        self.features = FeatureExtractor(config.frontend, stats).to(self.device)
        self.name = name
        self.sha256 = sha256
        self.header = header or {}

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
    ) -> list[Transcript]:
        """Return transcripts in the order of the recordings, whatever the batches.

        Args:
            recordings: see `prepare`.
            decode: how to search; the model's own way where not given.
            batch_size: most recordings computed together.
        """
        decode = decode or self.config.decode
        transcripts: list[Transcript | None] = [None] * len(recordings)
        lengths = [self.config.frontend.num_frames(len(r.samples)) for r in recordings]
        budget = self.config.data.batch_frames
        for batch in plan_batches(lengths, max_frames=budget, max_items=batch_size):
            chosen = [recordings[index] for index in batch]
            rows = self.log_probs([recording.samples for recording in chosen])
            for index, recording, log_probs in zip(batch, chosen, rows, strict=True):
                transcripts[index] = self._transcript(recording, log_probs, decode)
        return [transcript for transcript in transcripts if transcript is not None]

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
        self, recording: Recording, log_probs: NDArray[np.float32], decode: DecodeConfig
    ) -> Transcript:
        hypotheses = self._search(recording, log_probs, decode)
        best = hypotheses[0]
        shift = self.frame_shift
        end = len(recording.samples) / self.sample_rate
        words = tuple(
            TimedWord(
                word.text,
                start=recording.offset + word.start * shift,
                end=recording.offset + min(word.end * shift, end),
                confidence=word.confidence,
            )
            for word in best.words
        )
        wanted = hypotheses[: decode.nbest] if decode.nbest > 1 else []
        return Transcript(
            id=recording.id,
            source=recording.source,
            channel=recording.channel,
            model=self.describe_model(),
            decoder=describe_decoder(decode),
            text=best.text,
            duration=end,
            offset=recording.offset,
            words=words,
            log_prob=best.log_prob,
            nbest=tuple(Alternative(other.text, other.log_prob) for other in wanted),
        )

    def _search(
        self, recording: Recording, log_probs: NDArray[np.float32], decode: DecodeConfig
    ) -> list[Hypothesis]:
        if not len(recording.samples) or np.abs(recording.samples).max() < _SILENCE:
            # Normalised, digital silence would look like speech that the model never heard.
            log_probs = log_probs[:0]
        if decode.beam == 0:
            return [best_path(log_probs, self.alphabet)]
        decoder = PrefixBeamDecoder(self.alphabet, beam=decode.beam, threshold=decode.threshold)
        return decoder(log_probs)


def describe_decoder(decode: DecodeConfig) -> dict[str, Any]:
    """Return the search and its settings, as transcripts and results name them."""
    if decode.beam == 0:
        return {"search": "best_path"}
    return {"search": "prefix_beam", "beam": decode.beam, "threshold": decode.threshold}


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
    )


def save_recognizer(
    path: Path,
    recognizer: Recognizer,
    *,
    training: Mapping[str, Any],
    created_with: str,
) -> None:
    """Write a recognizer as one model file.

    Args:
        path: where to.
        recognizer: what to write.
        training: items, amount, unit, manifest_sha256, scores.
        created_with: name and version of the program.

    Raises:
        OutputError: it cannot be written.
    """
    config, alphabet = recognizer.config, recognizer.alphabet
    stats = recognizer.features.stats
    # Manifests are the owner's business; a model says what it is, not where it was made.
    values = config.model_dump(mode="json")
    values["data"] |= {"train": None, "dev": None}
    values["training"] |= {"init_from": None}
    tensors: dict[str, Tensor] = {
        f"model.{key}": tensor for key, tensor in recognizer.network.state_dict().items()
    }
    if alphabet.subword_model is not None:
        tensors[SUBWORD_MODEL] = torch.frombuffer(
            bytearray(alphabet.subword_model), dtype=torch.uint8
        )
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
        "decoder": describe_decoder(config.decode),
        "calibration": None,
        "training": dict(training),
        "licence": None,  # its owner's to choose
    }
    write_model(path, header=header, tensors=tensors)


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
