"""What decoders are timed on: log-probabilities made from a fixed seed, with and without words.

Peaky output, as a CTC network gives: a label is a spike of 1-3 frames, with a few rivals that share
what it leaves; between spikes, blank has .9-.999. Where words are asked for, a network's mistakes
are added: some spikes are won by a rival, or by blank.

Words are drawn from a lexicon of random syllables by a chain in which each word has a few likely
successors and words are as frequent as Zipf says, so that a 3-gram has something to know.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
LETTERS = "abcdefghijklmnopqrstuvwxyz'"
_NUM_RIVALS = 3


@dataclass(frozen=True)
class Work:
    """One thing to decode.

    Attributes:
        labels: V labels of one character each; the first is blank.
        folder: where its files are.
        lengths: frames of each utterance.
        references: what was said; None where only the search error counts.
        lexicon: known words; empty without a language model.
        open_vocabulary: some of the words said are in no lexicon.
    """

    labels: tuple[str, ...]
    folder: Path
    lengths: tuple[int, ...]
    references: tuple[str, ...] | None = None
    lexicon: tuple[str, ...] = ()
    open_vocabulary: bool = False

    @property
    def log_probs(self) -> Path:
        """The (B, T, V) float32 array, padded."""
        return self.folder / "log_probs.npy"

    @property
    def arpa(self) -> Path:
        """The 3-gram, where there is a lexicon."""
        return self.folder / "words.arpa"


def make_labels_work(
    folder: Path, *, num_symbols: int, num_utterances: int, num_frames: int = 500
) -> Work:
    """Write peaky log-probabilities of random labels; none of them is a space."""
    generator = np.random.default_rng(num_symbols)
    items = []
    for _ in range(num_utterances):
        said = generator.integers(1, num_symbols, size=num_frames // 3)  # more than will be needed
        items.append(_speak(said.tolist(), num_symbols, generator)[:num_frames])
    labels = tuple(chr(0x4E00 + column) for column in range(num_symbols))
    return _write(Work(labels, folder, lengths=(num_frames,) * num_utterances), items)


def make_words_work(folder: Path, *, num_utterances: int, unknown_share: float = 0.0) -> Work:
    """Write what a faulty network makes of sentences, a 3-gram of others like them, and a lexicon.

    Args:
        folder: for the files.
        num_utterances: sentences of 6-12 words.
        unknown_share: of the words said, how many are in no lexicon.
    """
    generator = np.random.default_rng(7)
    new_words = _invent_words(3_000, generator)
    lexicon, strangers = new_words[:2_000], new_words[2_000:]
    sentences = _chain_words(lexicon, 20_000 + num_utterances, generator)
    labels = ("_", " ", *LETTERS)
    columns = {label: column for column, label in enumerate(labels)}
    references, items = [], []
    for sentence in sentences[:num_utterances]:
        is_strange = generator.random(len(sentence)) < unknown_share
        spoken = np.where(is_strange, generator.choice(strangers, len(sentence)), sentence)
        references.append(" ".join(spoken))
        said = [columns[letter] for letter in references[-1]]
        items.append(_speak(said, len(labels), generator, mistakes=0.12))
    work = Work(
        labels,
        folder,
        lengths=tuple(map(len, items)),
        references=tuple(references),
        lexicon=tuple(sorted(lexicon)),
        open_vocabulary=unknown_share > 0,
    )
    _write(work, items)
    write_language_model(sentences[num_utterances:], work.arpa)
    return work


def write_language_model(sentences: Sequence[Sequence[str]], path: Path) -> None:
    """Write the 3-gram of a text as an ARPA file."""
    from ctcasr.decoding.arpa import write_arpa
    from ctcasr.decoding.ngram_estimation import estimate_ngrams

    write_arpa(path, estimate_ngrams(sentences, order=3).model)


def _write(work: Work, items: Sequence[Array]) -> Work:
    padded = np.zeros((len(items), max(work.lengths), len(work.labels)), dtype=np.float32)
    for row, item in zip(padded, items, strict=True):
        row[: len(item)] = item
    work.folder.mkdir(parents=True, exist_ok=True)
    np.save(work.log_probs, padded)
    return work


def _speak(
    said: Sequence[int], num_symbols: int, generator: np.random.Generator, *, mistakes: float = 0.0
) -> Array:
    """Return the (T, V) log-probabilities of a label sequence, 2-9 frames of blank around each."""
    blocks = [_blanks(num_symbols, generator)]
    for label in said:
        spike = _spike(label, num_symbols, generator, is_mistaken=generator.random() < mistakes)
        blocks += [np.tile(spike, (int(generator.integers(1, 4)), 1))]
        blocks += [_blanks(num_symbols, generator)]
    probs = np.concatenate(blocks) + 1e-8
    log_probs: Array = np.log(probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)
    return log_probs


def _blanks(num_symbols: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return frames of blank at .9-.999, the rest on a few labels."""
    count = int(generator.integers(2, 10))
    blank = generator.uniform(0.9, 0.999, size=(count, 1))
    rest = generator.dirichlet(np.full(num_symbols - 1, 0.1), size=count)
    return np.concatenate([blank, (1 - blank) * rest], axis=1)


def _spike(
    label: int, num_symbols: int, generator: np.random.Generator, *, is_mistaken: bool
) -> NDArray[np.float64]:
    """Return a frame of one label at .5-.99, or of a rival in its place; blank is a rival too."""
    mass = generator.uniform(0.5, 0.99)
    rivals = generator.choice(np.delete(np.arange(num_symbols), label), _NUM_RIVALS, replace=False)
    rivals[0] = 0 if not (rivals == 0).any() else rivals[0]
    frame = np.zeros(num_symbols)
    frame[rivals] = (1 - mass) * generator.dirichlet(np.ones(_NUM_RIVALS))
    frame[label] = mass
    if is_mistaken:  # the label comes second
        second, winner = (1 - mass) / 2, generator.choice(rivals)
        frame[rivals] /= 2
        frame[label] = second
        frame[winner] += mass
    return frame


def _invent_words(count: int, generator: np.random.Generator) -> list[str]:
    """Return different words of one to four syllables, in random order."""
    consonants, vowels = "bcdfghjklmnpqrstvwxyz'", "aeiou"
    words: dict[str, None] = {}
    while len(words) < count:
        syllables = [
            str(generator.choice(list(consonants))) + str(generator.choice(list(vowels)))
            for _ in range(int(generator.integers(1, 5)))
        ]
        words["".join(syllables) + str(generator.choice(["", "n", "s", "t"]))] = None
    return list(words)


def _chain_words(
    words: Sequence[str], num_sentences: int, generator: np.random.Generator
) -> list[list[str]]:
    """Return sentences of 6-12 words; four in five times a word is followed by one of its own 8."""
    ranks = np.arange(1, len(words) + 1)
    zipf = (1 / ranks) / (1 / ranks).sum()
    successors = generator.choice(len(words), size=(len(words), 8), p=zipf)
    lengths = generator.integers(6, 13, size=num_sentences)
    total = int(lengths.sum())
    is_free = generator.random(total) < 0.2
    free = generator.choice(len(words), size=total, p=zipf)
    choice = generator.integers(8, size=total)
    at, chain = 0, []
    for step in range(total):
        at = int(free[step] if is_free[step] else successors[at, choice[step]])
        chain.append(words[at])
    ends = np.cumsum(lengths)
    return [chain[end - length : end] for end, length in zip(ends, lengths, strict=True)]
