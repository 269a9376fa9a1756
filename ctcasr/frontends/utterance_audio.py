"""The samples of one utterance, at the rate the model hears."""

import numpy as np
from numpy.typing import NDArray

from ctcasr.frontends.waveform import read_audio, resample, select_channel
from ctcasr.manifest.utterance import Utterance


def load_utterance(utterance: Utterance, *, sample_rate: int) -> NDArray[np.float32]:
    """Return (N,) float32 samples in [-1, 1] at `sample_rate`.

    Raises:
        AudioError: the file cannot be read, or its channels differ and none is chosen.
    """
    samples, rate = read_audio(utterance.path, offset=utterance.offset, duration=utterance.duration)
    chosen = select_channel(samples, channel=utterance.channel, item=utterance.id)
    return resample(chosen, from_rate=rate, to_rate=sample_rate)
