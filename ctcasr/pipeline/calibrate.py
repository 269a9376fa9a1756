"""Calibrate: find the temperature at which confidences mean what they say.

A search's posterior is surer of itself than it should be, since it knows few rivals and the network
was trained to be certain. Divided by a temperature, the scores of its texts give posteriors that
fit how often words are right. One number is fitted, on recordings that nothing was learned from, by
the likelihood of right and wrong words; it changes no text and no order.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcasr.decode_config import DecodeConfig
from ctcasr.decoder import TextDecoder
from ctcasr.decoding.confidence import agreement
from ctcasr.pipeline.tune import Heard
from ctcasr.recognizer import Recognizer
from ctcasr.scoring import Costs
from ctcasr.scoring.calibration import expected_calibration_error, words_right
from ctcasr.text_rules import apply_rules_to_pair

FEWEST_WORDS = 50
"""Below so many, a fitted temperature would be chance."""

_TEMPERATURES = np.geomspace(0.25, 32.0, 169)  # steps of 3 %
_CERTAIN = 1e-4  # nothing is surer than that: one wrong word would decide all


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A fitted temperature.

    Attributes:
        temperature: scores are divided by it.
        words: it was fitted on.
        before, after: expected calibration error on these words without and with it.
    """

    temperature: float
    words: int
    before: float
    after: float

    def to_json(self, decoder: dict[str, Any]) -> dict[str, Any]:
        """Return the record "calibration" of a model's header; it holds for one search only."""
        return {
            "temperature": self.temperature,
            "words": self.words,
            "expected_calibration_error": {"before": self.before, "after": self.after},
            "decoder": decoder,
        }


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The words of one output: which texts agree with them, and whether they are right.

    Attributes:
        scores: (K,) natural logs, of the texts that the search ended with.
        agreed: (W, K) whether the k-th text has the w-th word there.
        right: (W,)
    """

    scores: NDArray[np.float64]
    agreed: NDArray[np.bool_]
    right: NDArray[np.bool_]

    def confidences(self, temperature: float) -> NDArray[np.float64]:
        shares = np.exp((self.scores - self.scores.max()) / temperature)
        confidences: NDArray[np.float64] = self.agreed @ (shares / shares.sum())
        return confidences


def fit_temperature(
    recognizer: Recognizer, heard: Heard, decode: DecodeConfig
) -> Calibrated | None:
    """Fit the temperature of a search; None where it has no confidences or the words are too few.

    Args:
        recognizer: the model.
        heard: labelled recordings, as the network heard them.
        decode: the search.
    """
    if decode.beam == 0:
        return None
    found = list(_look(recognizer, heard, decode))
    right = np.concatenate([one.right for one in found]) if found else np.zeros(0, np.bool_)
    if len(right) < FEWEST_WORDS:
        return None

    def confidences(temperature: float) -> NDArray[np.float64]:
        return np.concatenate([one.confidences(temperature) for one in found])

    def loss(temperature: float) -> float:
        likely = np.clip(confidences(temperature), _CERTAIN, 1 - _CERTAIN)
        return float(-np.log(np.where(right, likely, 1 - likely)).mean())

    best = float(min(_TEMPERATURES, key=loss))
    return Calibrated(
        temperature=best,
        words=len(right),
        before=expected_calibration_error(confidences(1.0), right),
        after=expected_calibration_error(confidences(best), right),
    )


def _look(recognizer: Recognizer, heard: Heard, decode: DecodeConfig) -> Iterator[_Evidence]:
    """Search once more, for all texts that the beam ends with."""
    alphabet = recognizer.alphabet
    whole_beam = decode.model_copy(update={"nbest": decode.beam})
    decoder = TextDecoder(
        whole_beam,
        alphabet,
        recognizer.sources(decode),
        with_confidence=False,
        heads=recognizer.config.heads,
        attention=recognizer.attention,
    )
    references = iter(heard.references)
    for batch in heard.emissions.batches():
        for hypotheses in decoder(*batch):
            said, text = apply_rules_to_pair(next(references), hypotheses[0].text, heard.rules)
            words = alphabet.words(hypotheses[0].labels)
            if not words or len(words) != len(text.split()):
                continue  # a rule has changed the words, or there are none
            yield _Evidence(
                np.array([one.log_prob for one in hypotheses]),
                agreement(words, [alphabet.words(one.labels) for one in hypotheses]),
                np.array(words_right(said.split(), text.split(), costs=Costs.LEVENSHTEIN)),
            )
