"""Definitions, written to be read and believed: what fast code is held against.

NumPy in float64, and torch's CTC loss as a second opinion. Enumeration costs V**T paths, so keep T
and V small.

Source: Graves et al. 2006, "Connectionist Temporal Classification", sections 3 and 4.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray


def random_log_probs(
    *, num_frames: int, num_symbols: int, seed: int, sharpness: float = 1.0
) -> NDArray[np.float64]:
    """Log-softmax of normal noise, (T, V); more `sharpness` gives peakier frames."""
    noise = sharpness * np.random.default_rng(seed).standard_normal((num_frames, num_symbols))
    return noise - np.logaddexp.reduce(noise, axis=1, keepdims=True)


def collapse(path: Iterable[int], *, blank: int = 0) -> tuple[int, ...]:
    """The labels of a path: repeats dropped, then blanks."""
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != blank)


def all_paths(log_probs: NDArray[np.float64]) -> list[tuple[tuple[int, ...], float]]:
    """Each of the V**T paths, with its log-probability."""
    num_frames, num_symbols = log_probs.shape
    return [
        (path, float(sum(log_probs[t, symbol] for t, symbol in enumerate(path))))
        for path in itertools.product(range(num_symbols), repeat=num_frames)
    ]


def log_prob_by_torch(log_probs: NDArray[np.float64], labels: Sequence[int]) -> float:
    """ln p(labels) by torch's CTC loss; blank is 0."""
    loss = torch.nn.functional.ctc_loss(
        torch.from_numpy(log_probs)[:, None],
        torch.tensor([labels], dtype=torch.long).reshape(1, len(labels)),
        torch.tensor([len(log_probs)]),
        torch.tensor([len(labels)]),
        reduction="none",
    )
    return -float(loss.item())


def log_probs_by_enumeration(
    log_probs: NDArray[np.float64], *, blank: int = 0
) -> dict[tuple[int, ...], float]:
    """log p of every label sequence that some path collapses to: the definition of CTC."""
    scores: dict[tuple[int, ...], list[float]] = {}
    for path, score in all_paths(log_probs):
        scores.setdefault(collapse(path, blank=blank), []).append(score)
    return {labels: float(np.logaddexp.reduce(some)) for labels, some in scores.items()}


def ctc_log_prob_by_enumeration(
    log_probs: NDArray[np.float64], labels: Sequence[int], *, blank: int = 0
) -> float:
    """log p(labels), summed over all paths; -inf where no path collapses to them."""
    return log_probs_by_enumeration(log_probs, blank=blank).get(tuple(labels), -np.inf)


def best_path_by_enumeration(
    log_probs: NDArray[np.float64], labels: Sequence[int], *, blank: int = 0
) -> tuple[tuple[int, ...], float]:
    """The most probable of the paths that collapse to `labels`, and its log-probability."""
    fitting = (
        (path, score)
        for path, score in all_paths(log_probs)
        if collapse(path, blank=blank) == tuple(labels)
    )
    return max(fitting, key=lambda found: found[1])


def forward_backward(
    log_probs: NDArray[np.float64], labels: Sequence[int], *, blank: int = 0
) -> tuple[float, NDArray[np.float64]]:
    """log p(labels) and its gradient with respect to `log_probs`, from the recursions.

    The gradient, (T, V), is the posterior probability that the path has symbol v in frame t. With
    respect to the logits of a softmax, the gradient of the loss -log p is softmax - posterior.
    Labels that cannot be aligned give -inf and a gradient of zeros.
    """
    num_frames, num_symbols = log_probs.shape
    states = [blank]
    for label in labels:
        states += [label, blank]
    ahead = _forward(log_probs, states, blank=blank)
    behind = _forward(log_probs[::-1], states[::-1], blank=blank)[::-1, ::-1]
    log_prob = float(np.logaddexp.reduce(ahead[-1, -2:])) if num_frames else _of_nothing(labels)

    posterior = np.zeros((num_frames, num_symbols))
    if np.isfinite(log_prob):
        for t in range(num_frames):
            for s, symbol in enumerate(states):
                both = ahead[t, s] + behind[t, s] - log_probs[t, symbol]  # frame t stands in both
                posterior[t, symbol] += np.exp(both - log_prob)
    return log_prob, posterior


def _forward(
    log_probs: NDArray[np.float64], states: Sequence[int], *, blank: int
) -> NDArray[np.float64]:
    """alpha[t, s]: log-mass of the paths through frames 0..t that are in state s at t."""
    alpha = np.full((len(log_probs), len(states)), -np.inf)
    for t in range(len(log_probs)):
        for s, symbol in enumerate(states):
            if t == 0:
                before = 0.0 if s < 2 else -np.inf
            else:
                ways = [alpha[t - 1, s]]
                if s >= 1:
                    ways.append(alpha[t - 1, s - 1])
                if s >= 2 and symbol != blank and symbol != states[s - 2]:
                    ways.append(alpha[t - 1, s - 2])
                before = float(np.logaddexp.reduce(ways))
            alpha[t, s] = before + log_probs[t, symbol]
    return alpha


def _of_nothing(labels: Sequence[int]) -> float:
    return -np.inf if labels else 0.0


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Fewest substitutions, deletions and insertions between two token lists."""
    table = np.zeros((len(reference) + 1, len(hypothesis) + 1), dtype=int)
    table[:, 0] = np.arange(len(reference) + 1)
    table[0, :] = np.arange(len(hypothesis) + 1)
    for i, wanted in enumerate(reference, start=1):
        for j, given in enumerate(hypothesis, start=1):
            table[i, j] = min(
                table[i - 1, j] + 1,
                table[i, j - 1] + 1,
                table[i - 1, j - 1] + (wanted != given),
            )
    return int(table[-1, -1])


def prefix_beam_by_dictionary(
    log_probs: NDArray[np.float64], *, beam: int, blank: int = 0
) -> list[tuple[tuple[int, ...], float]]:
    """Prefix beam search as it is told in words: grow every prefix by every symbol, keep the best.

    Masses by prefix are (in blank, in its last label). Hannun et al. 2014, algorithm 1.
    """
    active: dict[tuple[int, ...], NDArray[np.float64]] = {(): np.array([1.0, 0.0])}
    for probs in np.exp(log_probs):
        grown: defaultdict[tuple[int, ...], NDArray[np.float64]] = defaultdict(lambda: np.zeros(2))
        for prefix, (in_blank, in_label) in active.items():
            for symbol, prob in enumerate(probs):
                if symbol == blank:
                    grown[prefix] += ((in_blank + in_label) * prob, 0.0)
                elif prefix and symbol == prefix[-1]:
                    grown[prefix] += (0.0, in_label * prob)
                    grown[*prefix, symbol] += (0.0, in_blank * prob)
                else:
                    grown[*prefix, symbol] += (0.0, (in_blank + in_label) * prob)
        best = sorted(grown.items(), key=lambda entry: -entry[1].sum())
        active = dict(best[:beam])
    return [(prefix, float(np.log(mass.sum()))) for prefix, mass in active.items()]


NgramWeights = Mapping[tuple[str, ...], tuple[float, float]]
"""The natural-log probability and back-off weight of every n-gram that a model lists."""


def log_prob_by_dictionary(
    ngrams: NgramWeights, history: Sequence[str], word: str, *, order: int
) -> float:
    """ln p(word | history): the definition of a back-off model, and nothing else."""
    history = tuple(history)[-(order - 1) :] if order > 1 else ()
    if (*history, word) in ngrams:
        return ngrams[(*history, word)][0]
    backoff = ngrams[history][1] if history in ngrams else 0.0
    return backoff + log_prob_by_dictionary(ngrams, history[1:], word, order=order)


def language_worth(
    tokens: Sequence[str | None],
    *,
    ngrams: NgramWeights | None,
    order: int,
    alpha: float,
    beta: float,
    unknown: float,
) -> float:
    """What words are worth to language model and lexicon, word by word; None is a word outside."""
    known = {ngram[0] for ngram in ngrams or () if len(ngram) == 1}
    history: list[str] = ["<s>"] if "<s>" in known else []
    total = 0.0
    for token in tokens:
        is_known = token is not None and (ngrams is None or token in known)
        total += beta + (0.0 if is_known else unknown)
        said = token if is_known else "<unk>"
        if ngrams is not None and said is not None:
            if said in known:
                total += alpha * log_prob_by_dictionary(ngrams, history, said, order=order)
                history.append(said)
            else:
                total += alpha * min(ngrams[(word,)][0] for word in known - {"<s>", "</s>"})
                history.clear()
    if ngrams is not None and "</s>" in known:
        total += alpha * log_prob_by_dictionary(ngrams, history, "</s>", order=order)
    return total


def hotword_worth(words: Sequence[str | None], boosts: Mapping[str, float]) -> float:
    """The boost of every phrase, as often as its words stand in a row."""
    total = 0.0
    for phrase, boost in boosts.items():
        parts = phrase.split()
        starts = range(len(words) - len(parts) + 1)
        total += boost * sum(list(words[at : at + len(parts)]) == parts for at in starts)
    return total
