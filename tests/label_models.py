"""Models that write label by label, made up on the spot: what a beam search is tested with."""

import zlib

import numpy as np


class RandomLabels:
    """Log-probabilities drawn anew after every prefix of every utterance.

    Args:
        num_symbols: V.
        blank: column that has no probability.
        seeds: one for each utterance.
        sharpness: spread of the logits.
        end: added to the logit of the end.
    """

    def __init__(self, *, num_symbols, seeds, blank=0, sharpness=1.0, end=0.0):
        self.num_symbols, self.seeds, self.blank = num_symbols, seeds, blank
        self._sharpness, self._end = sharpness, end
        self.calls = 0

    def log_probs(self, utterance, prefix):
        """(V + 1,) natural logs of what follows."""
        key = zlib.crc32(repr((self.seeds[utterance], tuple(map(int, prefix)))).encode())
        logits = self._sharpness * np.random.default_rng(key).standard_normal(self.num_symbols + 1)
        logits[-1] += self._end
        logits[self.blank] = -np.inf
        return logits - np.logaddexp.reduce(logits)

    def text_log_prob(self, utterance, labels):
        """Of labels and their end."""
        symbols = [*labels, self.num_symbols]
        return sum(
            self.log_probs(utterance, labels[:at])[symbol] for at, symbol in enumerate(symbols)
        )

    def begin(self):
        return self._answer([(utterance, ()) for utterance in range(len(self.seeds))])

    def step(self, state, rows, labels):
        grown = [
            (state[row][0], (*state[row][1], int(label)))
            for row, label in zip(rows, labels, strict=True)
        ]
        return self._answer(grown)

    def look(self, labels, *, recording):
        raise NotImplementedError

    def _answer(self, state):
        self.calls += 1
        return state, np.array([self.log_probs(*one) for one in state])
