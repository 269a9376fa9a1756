"""What an evaluation measures beside the text: whose fault an error is, and how hard the item was.

The search looks for the text with the highest score: log-probability of its labels over all paths,
and what language model, lexicon and hotwords add. Scored the same way, exactly, the reference
either beats the output, and the search has missed it, or it does not, and the model is wrong. Two
more searches say what the first one's limits cost: one with four times the beam and no threshold
(its square, where attention takes part and would write on), and, where CTC alone decides, one with
a certificate. A model with attention is asked none of this of a recording that was searched in
parts: over the whole of it the decoder would get lost.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ctcasr.decode_config import DEFAULT_BEAM, DecodeConfig
from ctcasr.decoder import HeadsApart, TextDecoder
from ctcasr.decoding import Hypothesis
from ctcasr.errors import AlphabetError
from ctcasr.frontends.sound.level import frame_levels
from ctcasr.items import Item
from ctcasr.manifest import Modality
from ctcasr.recognizer import Recognizer
from ctcasr.scoring.measured import Measured
from ctcasr.transcript import Transcript

WIDER = 4
"""How many times the beam the wider search has."""


class Examiner:
    """Watches a recognizer transcribe, and measures; see `Recognizer.transcribe_batch`.

    Args:
        recognizer: the model.
        decode: how it searches.
        references: what is said, by the item's id.
    """

    def __init__(
        self, recognizer: Recognizer, decode: DecodeConfig, references: Mapping[str, str]
    ) -> None:
        self.measured: dict[str, Measured] = {}
        """By the item's id."""
        self.seconds = 0.0
        """That measuring took."""
        self._recognizer = recognizer
        self._references = references
        self._decoder = recognizer.decoder(decode)
        sources = recognizer.sources(decode)
        if self._decoder.search.needs_attention:
            beam, threshold = WIDER * max(1, decode.beam), decode.threshold**2
        else:
            beam, threshold = max(WIDER * decode.beam, DEFAULT_BEAM), 0.0
        wider = decode.model_copy(update={"beam": beam, "threshold": threshold, "nbest": 1})
        self._wider = TextDecoder(
            wider,
            recognizer.alphabet,
            sources,
            with_confidence=False,
            heads=recognizer.config.heads,
            attention=recognizer.attention,
        )
        heads = recognizer.config.heads
        self._apart: HeadsApart | None = None
        if heads.ctc.is_present and heads.attention.is_present:
            self._apart = HeadsApart(
                recognizer.alphabet,
                heads=heads,
                attention=recognizer.attention,
                beam=decode.beam,
            )
        self._prover: TextDecoder | None = None
        if not decode.weighs_words and not self._decoder.search.needs_attention:
            proving = DecodeConfig(beam=max(decode.beam, DEFAULT_BEAM))
            self._prover = TextDecoder(
                proving, recognizer.alphabet, sources, with_confidence=False, certify=True
            )

    def __call__(
        self,
        recording: Item,
        log_probs: NDArray[np.float32],
        found: Sequence[Hypothesis],
        transcript: Transcript,
        encoded: Tensor | None = None,
    ) -> None:
        """Measure one item."""
        started = time.perf_counter()
        output = found[0]
        measured = Measured(
            duration=transcript.duration,
            unit=transcript.axis,
            level_range_db=self._level_range(recording),
            confidence=output.confidence,
            word_confidences=tuple(
                word.confidence for word in output.words if word.confidence is not None
            ),
        )
        if encoded is None or len(transcript.segments) < 2:
            measured = self._search_again(recording, log_probs, output, measured, encoded)
        self.measured[recording.id] = measured
        self.seconds += time.perf_counter() - started

    def _search_again(
        self,
        recording: Item,
        log_probs: NDArray[np.float32],
        output: Hypothesis,
        measured: Measured,
        encoded: Tensor | None,
    ) -> Measured:
        """Return what is measured, with scores and what other searches find."""
        reference = self._labels(self._references[recording.id])
        scores = self._decoder.score([output.labels, reference], log_probs, encoded)
        return replace(
            measured,
            output_score=scores[0],
            reference_score=scores[1],
            is_proven=self._is_proven(log_probs, output),
            wider=self._wider([log_probs], [] if encoded is None else [encoded])[0][0].text,
            by_head=(
                self._apart([log_probs], [encoded])[0]
                if self._apart is not None and encoded is not None
                else None
            ),
        )

    def _labels(self, text: str) -> tuple[int, ...] | None:
        """Return the labels of a reference; None where the model cannot write it."""
        try:
            return self._recognizer.encode(text)
        except AlphabetError:
            return None

    def _is_proven(self, log_probs: NDArray[np.float32], output: Hypothesis) -> bool | None:
        if self._prover is None:
            return None
        best = self._prover([log_probs])[0][0]
        return best.is_proven and best.labels == output.labels

    def _level_range(self, recording: Item) -> float | None:
        if self._recognizer.modality is not Modality.AUDIO:
            return None
        hop = self._recognizer.sample_rate // 100
        levels = frame_levels(recording.signal, hop=hop, window=hop)
        if not len(levels):
            return None
        quiet, loud = np.percentile(levels, [5, 95])
        return float(loud - quiet)
