"""Text while it is being said: samples in as they come, words out as they settle.

    stream = recognizer.stream()
    for samples in microphone:          # (N,) float32 at recognizer.sample_rate, any N
        stream.feed(samples)
        print(stream.settled_text)      # what no further sample can change
    print(stream.finish().text)

Only for models none of whose outputs needs the whole recording: forwards-only encoders, features
that are normalised by the training set or not at all. The network's log-probabilities are those of
`Recognizer.transcribe` but for the order of sums, and the search is the same, so the text is. Two
things differ. Recordings of more than a minute are not cut at pauses, as with `decode.segment`
none. And what was heard is kept, 4 bytes a sample, for the words' times at the end.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctcasr.alphabet import Alphabet, Unit
from ctcasr.config import RunConfig
from ctcasr.decoder import TextDecoder
from ctcasr.decoding import Hypothesis
from ctcasr.errors import AudioError, ConfigError
from ctcasr.frontends.feature_stats import Normalisation
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.frontends.sound.level import is_silent
from ctcasr.frontends.sound.spectral import FrontendConfig
from ctcasr.models.network import Network
from ctcasr.models.recurrent import Directions
from ctcasr.models.streaming import NetworkStream, SlidingWindow
from ctcasr.transcript import Transcript

Finish = Callable[[NDArray[np.float32], Sequence[Hypothesis]], Transcript]
"""All samples (N,) and what was found in them -> their transcript."""


def require_streamable(config: RunConfig, *, name: str) -> None:
    """Refuse a model whose first output needs the whole recording.

    Args:
        config: the model's.
        name: what to call it.

    Raises:
        ConfigError: names the key, and what to set it to.
    """
    if not isinstance(config.frontend, FrontendConfig):
        raise ConfigError(f"model {name} cannot stream: it reads {config.modality.items}")
    reasons = {
        "encoder.directions": (
            config.encoder.directions is Directions.BOTH,
            "both: half of each layer begins at the end; train with encoder.directions=forwards",
        ),
        "frontend.normalise": (
            config.frontend.normalise is Normalisation.UTTERANCE,
            "utterance: the mean is known at the end; train with frontend.normalise=training",
        ),
        "frontend.level": (
            config.frontend.level,
            "true: the loudness is known at the end; train with frontend.level=false",
        ),
    }
    for key, (is_so, why) in reasons.items():
        if is_so:
            raise ConfigError(f"model {name} cannot stream: {key} is {why}")


class EmissionStream:
    """Log-probabilities of a recording that is still going on.

    Args:
        features: a model's frontend.
        network: the same model's, in evaluation mode.
        device: of both.
    """

    def __init__(self, features: FeatureExtractor, network: Network, device: torch.device) -> None:
        frontend = features.config
        assert isinstance(frontend, FrontendConfig), "see require_streamable"
        self._extractor = features
        self._device = device
        self._num_labels = network.ctc.output.out_features
        self._features = SlidingWindow(
            self._extract,
            stride=frontend.hop,
            look_back=frontend.look_back,
            look_ahead=frontend.look_ahead,
        )
        self._no_features = torch.zeros(1, 0, frontend.num_features, device=device)
        self._network = NetworkStream(network)
        self.latency = self._features.latency + frontend.hop * (self._network.latency - 1)
        """Samples from the first that an encoder frame stands for to the last it waits for."""

    def feed(self, samples: NDArray[np.float32], *, is_last: bool = False) -> NDArray[np.float32]:
        """Return (T', V) natural-log label probabilities of the frames that are complete now.

        Args:
            samples: (N,) that follow those before.
            is_last: whether no others will follow.
        """
        with torch.inference_mode():
            waveform = torch.from_numpy(samples)[None].to(self._device)
            features = self._features.feed(waveform, is_last=is_last)
            if features is None:
                if not is_last:
                    return self._nothing
                features = self._no_features
            logits = self._network.feed(features, is_last=is_last)
            if logits is None:
                return self._nothing
            rows: NDArray[np.float32] = logits[0].float().log_softmax(-1).cpu().numpy()
            return rows

    @property
    def _nothing(self) -> NDArray[np.float32]:
        return np.zeros((0, self._num_labels), np.float32)

    def _extract(self, waveforms: Tensor) -> Tensor:
        lengths = torch.full((1,), waveforms.shape[1], device=waveforms.device)
        features: Tensor = self._extractor(waveforms, lengths)[0]
        return features


class StreamingRecognizer:
    """A recording under way; `Recognizer.stream` makes one.

    Args:
        emissions: of the model, at its beginning.
        decoder: searches in them.
        alphabet: the model's labels.
        sample_rate: that the model hears, in Hz.
        make_transcript: of what was heard and found.
    """

    def __init__(
        self,
        emissions: EmissionStream,
        decoder: TextDecoder,
        alphabet: Alphabet,
        *,
        sample_rate: int,
        make_transcript: Finish,
    ) -> None:
        self.latency_ms = 1000 * emissions.latency / sample_rate
        """From the beginning of a sound to the network's output for it; words settle later."""
        self._emissions = emissions
        self._search = decoder.stream()
        self._alphabet = alphabet
        self._make_transcript = make_transcript
        self._chunks: list[NDArray[np.float32]] = []
        self._is_silent = True
        self._held: list[NDArray[np.float32]] = []  # of the silence before the first sound

    def feed(self, samples: NDArray[np.floating[Any]]) -> None:
        """Go on by some samples.

        Args:
            samples: (N,) floats at the model's rate, full scale -1 to 1; N may be 0.

        Raises:
            AudioError: another shape, no floats, or NaN.
        """
        self._advance(_check_chunk(samples), is_last=False)

    def finish(self) -> Transcript:
        """Return the transcript of all that was fed; nothing may be fed after that."""
        self._advance(np.zeros(0, np.float32), is_last=True)
        heard = np.concatenate([np.zeros(0, np.float32), *self._chunks])
        return self._make_transcript(heard, self._search.finish())

    @property
    def settled_text(self) -> str:
        """The whole words that no further sample can change, as they begin the final text."""
        labels = self._search.stable_labels
        return self._alphabet.decode(labels[: _whole_words(self._alphabet, labels)])

    @property
    def best_text(self) -> str:
        """The most probable text, as if the recording ended here; begins with `settled_text`.

        With a beam, the longer the recording, the longer this takes.
        """
        return self._search.best.text

    def _advance(self, samples: NDArray[np.float32], *, is_last: bool) -> None:
        self._chunks.append(samples)
        self._is_silent = self._is_silent and is_silent(samples)
        self._held.append(self._emissions.feed(samples, is_last=is_last))
        # Digital silence alone has no text, so what it would spell must not settle.
        if not self._is_silent:
            self._search.feed(np.concatenate(self._held))
            self._held = []


def _check_chunk(given: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    samples = np.asarray(given)
    if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(
            f"chunk: {samples.dtype} of shape {samples.shape}; give (samples,) floats of one "
            f"channel with full scale at -1 and 1"
        )
    if not np.isfinite(samples).all():
        raise AudioError("chunk: holds NaN or infinite samples; repair what makes them")
    return samples.astype(np.float32)  # a copy: the caller may use its buffer again


def _whole_words(alphabet: Alphabet, labels: Sequence[int]) -> int:
    """Return how many labels make up the words that no further label can lengthen."""
    spans = alphabet.word_spans(labels)
    if spans and alphabet.unit is not Unit.WORD and spans[-1][2] == len(labels):
        spans.pop()
    return spans[-1][2] if spans else 0
