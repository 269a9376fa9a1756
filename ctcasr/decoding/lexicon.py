"""The words that may be said, as a trie over labels.

A search walks down the trie while a word is being spelt. Each node knows how well its best word
could still do (its look-ahead), so an improbable word is charged from its first letter on and
not only when it is complete (Ortmanns et al. 1997, "Language-model look-ahead for large vocabulary
speech recognition").
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctcasr.alphabet import Alphabet, Unit, describe
from ctcasr.decoding.label_kinds import WORD_START, LabelKind, label_kinds
from ctcasr.errors import LexiconError

ROOT = 0
OUTSIDE = -1
NO_WORD = -1


@dataclass(frozen=True, slots=True)
class LexiconTrie:
    """Spellings in flat arrays; node 0 is the root.

    Attributes:
        words: W words.
        first_child: (N + 1,) the children of node n are first_child[n]:first_child[n + 1].
        child_label: (N - 1,) sorted within a node.
        child_node: (N - 1,)
        word: (N,) the word that ends in a node, or NO_WORD.
        parent: (N,) of the root -1.
    """

    words: tuple[str, ...]
    first_child: NDArray[np.int32]
    child_label: NDArray[np.int32]
    child_node: NDArray[np.int32]
    word: NDArray[np.int32]
    parent: NDArray[np.int32]

    def child(self, node: int, label: int) -> int:
        """Return the node one label further, or OUTSIDE."""
        first, stop = self.first_child[node], self.first_child[node + 1]
        at = first + int(np.searchsorted(self.child_label[first:stop], label))
        if at < stop and self.child_label[at] == label:
            return int(self.child_node[at])
        return OUTSIDE

    def best_below(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return for each node the largest value of a word at or below it; (W,) to (N,)."""
        best = np.full(len(self.word), -np.inf)
        ends = self.word != NO_WORD
        best[ends] = values[self.word[ends]]
        for node in range(len(best) - 1, 0, -1):  # children are numbered after their parents
            best[self.parent[node]] = max(best[self.parent[node]], best[node])
        return best

    def sum_along(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return for each node the sum over the labels that lead to it; (V,) to (N,)."""
        sums = np.zeros(len(self.word))
        for node in range(len(sums)):  # children are numbered after their parents
            below = slice(self.first_child[node], self.first_child[node + 1])
            sums[self.child_node[below]] = sums[node] + values[self.child_label[below]]
        return sums

    def label_log_shares(self, num_labels: int) -> NDArray[np.float64]:
        """Return (V,) natural logs of how frequent each label is in the words.

        Each is counted once more than it stands there, so that none is impossible.
        """
        below = (self.word != NO_WORD).astype(np.int64)  # words at or below each node
        counts = np.ones(num_labels)
        label_to = np.zeros(len(self.word), dtype=np.int32)
        label_to[self.child_node] = self.child_label
        for node in range(len(below) - 1, 0, -1):  # children are numbered after their parents
            counts[label_to[node]] += below[node]
            below[self.parent[node]] += below[node]
        log_shares: NDArray[np.float64] = np.log(counts / counts.sum())
        return log_shares


def build_trie(spellings: Mapping[str, Iterable[Sequence[int]]]) -> LexiconTrie:
    """Return the trie of words and their spellings, a word having one or several.

    Raises:
        LexiconError: two words are spelt alike, so that no search could tell them apart.
    """
    words = tuple(spellings)
    children: list[dict[int, int]] = [{}]
    word_at: list[int] = [NO_WORD]
    parent = [-1]
    for index, (word, ways) in enumerate(spellings.items()):
        for labels in ways:
            node = ROOT
            for label in labels:
                known = children[node].setdefault(label, len(children))
                if known == len(children):
                    children.append({})
                    word_at.append(NO_WORD)
                    parent.append(node)
                node = known
            if word_at[node] not in (NO_WORD, index):
                raise LexiconError(
                    f"lexicon: {words[word_at[node]]!r} and {word!r} are spelt alike; labels "
                    f"cannot tell them apart, so keep one"
                )
            if node != ROOT:
                word_at[node] = index
    counts = [len(below) for below in children]
    ordered = [sorted(below.items()) for below in children]
    return LexiconTrie(
        words=words,
        first_child=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        child_label=np.array([k for below in ordered for k, _ in below], dtype=np.int32),
        child_node=np.array([n for below in ordered for _, n in below], dtype=np.int32),
        word=np.array(word_at, dtype=np.int32),
        parent=np.array(parent, dtype=np.int32),
    )


def spell(alphabet: Alphabet, word: str) -> tuple[int, ...] | None:
    """Return the labels of one word, without a space before it; None where it cannot be spelt.

    Pieces of a plain list of subwords, which has no sentencepiece model, are chosen so that they
    are as few as possible.
    """
    labels: tuple[int, ...] | None
    if _has_pieces(alphabet):
        labels = _fewest_pieces(alphabet, _as_pieces(alphabet, word))
    else:
        labels = None if alphabet.unknown(word) else alphabet.encode(word)
    return None if labels is None else _without_space(alphabet, labels)


def name_unspelt(alphabet: Alphabet, word: str) -> list[str]:
    """Return what of a word that cannot be spelt has no label, for a message."""
    return alphabet.unknown(word) or [_as_pieces(alphabet, word)]


def read_lexicon(
    source: str | Path | Iterable[str], alphabet: Alphabet
) -> dict[str, list[tuple[int, ...]]]:
    """Return the spellings of a lexicon's words.

    Args:
        source: a file, or words. A line, or a word, may be followed by its labels, white space
            between them, where the alphabet's own spelling is not meant.
        alphabet: of the labels.

    Raises:
        LexiconError: the file cannot be read, it has no words, or one of them cannot be spelt.
    """
    name = "lexicon"
    lines: Iterable[str]
    if isinstance(source, str | Path):
        name, lines = str(source), _read_lines(Path(source))
    else:
        lines = source
    columns = {label: k for k, label in enumerate(alphabet.labels) if k != alphabet.blank}
    kinds = label_kinds(alphabet)
    spellings: dict[str, list[tuple[int, ...]]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        word, *pieces = line.split()
        labels: tuple[int, ...] | None
        if pieces:
            missing = [piece for piece in pieces if piece not in columns]
            given = [columns[piece] for piece in pieces if piece in columns]
            labels = None if missing else _without_space(alphabet, given)
        else:
            labels = spell(alphabet, word)
            missing = name_unspelt(alphabet, word) if labels is None else []
        if labels is None:
            raise LexiconError(
                f"{name}, line {number}: {word!r} cannot be spelt; no label for "
                f"{describe(missing)}; take the word out, or spell it with the model's labels"
            )
        if any(kinds[label] != LabelKind.INSIDE for label in labels[1:]):
            raise LexiconError(
                f"{name}, line {number}: the labels of {word!r} begin a second word; give those of "
                f"one word"
            )
        spellings.setdefault(word, []).append(labels)
    if not spellings:
        raise LexiconError(f"{name}: no word in it; give one word a line")
    return spellings


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LexiconError(f"{path}: cannot be read as a UTF-8 list of words ({error})") from error


def _has_pieces(alphabet: Alphabet) -> bool:
    return alphabet.unit is Unit.CHAR and (
        alphabet.marks_words
        or any(len(alphabet.labels[k]) > 1 for k in range(len(alphabet)) if k != alphabet.blank)
    )


def _as_pieces(alphabet: Alphabet, word: str) -> str:
    """Return a word with the mark of its beginning, if that is how the labels have it."""
    return WORD_START + word if alphabet.marks_words else word


def _without_space(alphabet: Alphabet, labels: Sequence[int]) -> tuple[int, ...]:
    """Return labels without a first one that is only the mark of a word's beginning."""
    has_space = bool(labels) and alphabet.labels[labels[0]] == WORD_START
    return tuple(labels[1:] if has_space else labels)


def _fewest_pieces(alphabet: Alphabet, text: str) -> tuple[int, ...] | None:
    columns = {label: k for k, label in enumerate(alphabet.labels) if k != alphabet.blank}
    longest = max(map(len, columns), default=0)
    best: list[tuple[int, ...] | None] = [(), *[None] * len(text)]
    for stop in range(1, len(text) + 1):
        for start in range(max(0, stop - longest), stop):
            before, column = best[start], columns.get(text[start:stop])
            if before is None or column is None:
                continue
            if best[stop] is None or len(before) + 1 < len(best[stop] or ()):
                best[stop] = (*before, column)
    return best[-1]
