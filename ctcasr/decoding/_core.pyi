from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_Float = NDArray[np.float32] | NDArray[np.float64]
_Found = tuple[tuple[int, ...], float, float]

def align(
    log_probs: _Float, labels: NDArray[np.int32], blank: int, block: int
) -> list[tuple[int, int]] | None: ...
def search_best_first(
    log_probs: NDArray[np.float64], blank: int, max_work: int
) -> tuple[list[int], float, float, bool, int] | None: ...

class Context:
    def __init__(
        self,
        kinds: NDArray[np.uint8],
        lm_words: NDArray[np.int32],
        alpha: float,
        beta: float,
        unknown: float,
        most_said: float,
    ) -> None: ...
    def set_lm(
        self,
        first_arc: NDArray[np.int64],
        arc_word: NDArray[np.int32],
        arc_log_prob: NDArray[np.float32],
        arc_state: NDArray[np.int32],
        backoff: NDArray[np.float32],
        backoff_state: NDArray[np.int32],
        start: int,
        end: int,
        unknown: int,
        counts_labels: bool,
    ) -> None: ...
    def set_lexicon(
        self,
        first: NDArray[np.int32],
        label: NDArray[np.int32],
        node: NDArray[np.int32],
        word: NDArray[np.int32],
        charges: NDArray[np.float64],
        outside_charge: float,
        label_costs: NDArray[np.float64],
        spelt_costs: NDArray[np.float64],
        is_closed: bool,
    ) -> None: ...
    def set_hotwords(
        self,
        first: NDArray[np.int32],
        symbol: NDArray[np.int32],
        node: NDArray[np.int32],
        fallback: NDArray[np.int32],
        credit: NDArray[np.float64],
        reward: NDArray[np.float64],
        reach: NDArray[np.float64],
    ) -> None: ...
    def extend(
        self, history: int, spelt: int, matched: int, label: int
    ) -> tuple[int, int, int, float]: ...
    def finish(self, history: int, spelt: int, matched: int) -> float: ...

class Stream:
    def advance(self, log_probs: _Float) -> None: ...
    def found(self, log_probs: _Float, count: int) -> list[_Found]: ...
    def stable(self) -> list[int]: ...

class Decoder:
    def __init__(
        self,
        num_symbols: int,
        blank: int,
        beam: int,
        threshold: float,
        label_threshold: float,
        context: Context | None,
    ) -> None: ...
    def decode(
        self, items: Sequence[_Float], count: int, certify: bool, workers: int
    ) -> list[tuple[list[_Found], float]]: ...
    def stream(self) -> Stream: ...
