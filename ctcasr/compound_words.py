"""Compounds: one word here, two there, and yet the same ("data base", "data-base", "database").

Words differ in spelling only where they are equal once spaces and hyphens are gone. Of all ways
from reference to output, word by word, the cheapest is taken, where a stretch of words against one
that differs in spelling only costs nothing.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

HYPHENS = "-\u2010\u2011"

_LARGEST = 40_000
_WITHOUT_HYPHENS = str.maketrans("", "", HYPHENS)


class _Step(NamedTuple):
    """One step of a path: so many words of the reference for so many of the output."""

    said: int
    heard: int
    cost: int
    spelling: bool  # the reference's


def spell_as_reference(reference: str, hypothesis: str) -> str:
    """Return the output with the reference's spaces and hyphens where nothing else differs.

    Spaces and hyphens aside, the text stays what it was, and it never gets further from the
    reference. Costs O(n * m) for n words against m; where n * m is above 40,000 (200 words each),
    only the stretches in which a common alignment finds differences are searched.
    """
    said, heard = reference.split(), hypothesis.split()
    if said == heard:
        return " ".join(said)
    small = len(said) * len(heard) <= _LARGEST
    words: list[str] = []
    for some, others in [(said, heard)] if small else _blocks(said, heard):
        searched = some != others and len(some) * len(others) <= _LARGEST
        words += _respell(some, others) if searched else others
    return " ".join(words)


def _blocks(said: list[str], heard: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield stretches that are equal and stretches that differ, in turn and in order."""
    start, begin = 0, 0  # of the stretch that differs
    for block in Levenshtein.opcodes(said, heard):
        if block.tag == "equal":
            yield said[start : block.src_start], heard[begin : block.dest_start]
            start, begin = block.src_end, block.dest_end
            equal = said[block.src_start : start]
            yield equal, equal
    yield said[start:], heard[begin:]


def _respell(said: Sequence[str], heard: Sequence[str]) -> list[str]:
    """Return the words heard, along the cheapest path, in the reference's spelling where it can."""
    keys = [word.translate(_WITHOUT_HYPHENS) for word in said]
    other_keys = [word.translate(_WITHOUT_HYPHENS) for word in heard]
    rows, columns = len(said), len(heard)
    costs = {(rows, columns): 0}  # from here to the end
    best: dict[tuple[int, int], _Step] = {}
    for i in range(rows, -1, -1):
        for j in range(columns, -1, -1):
            steps = [
                (costs[i + step.said, j + step.heard] + step.cost, step)
                for step in _steps(keys, other_keys, i, j)
            ]
            if steps:
                costs[i, j], best[i, j] = min(steps, key=lambda found: found[0])
    words: list[str] = []
    i, j = 0, 0
    while (i, j) in best:
        step = best[i, j]
        words += said[i : i + step.said] if step.spelling else heard[j : j + step.heard]
        i, j = i + step.said, j + step.heard
    return words


def _steps(keys: Sequence[str], other_keys: Sequence[str], i: int, j: int) -> Iterator[_Step]:
    """Yield what may come next, what costs nothing first."""
    same = _same_but_for_spelling(keys, other_keys, i, j)
    if same is not None:
        yield _Step(*same, cost=0, spelling=True)
    if i < len(keys):
        yield _Step(1, 0, cost=int(keys[i] != ""), spelling=keys[i] == "")
    if j < len(other_keys):
        # A lone hyphen that the reference lacks is left out, as its spelling would have it.
        yield _Step(0, 1, cost=int(other_keys[j] != ""), spelling=other_keys[j] == "")
    if i < len(keys) and j < len(other_keys):
        yield _Step(1, 1, cost=1, spelling=False)


def _same_but_for_spelling(
    keys: Sequence[str], other_keys: Sequence[str], i: int, j: int
) -> tuple[int, int] | None:
    """Return how many words of both, the fewest, make equal text from here on; None for none."""
    end, other_end = i, j
    text, other_text = "", ""
    while not text or text != other_text:
        if len(text) <= len(other_text):
            if end == len(keys):
                return None
            text += keys[end]
            end += 1
        else:
            if other_end == len(other_keys):
                return None
            other_text += other_keys[other_end]
            other_end += 1
        if not (text.startswith(other_text) or other_text.startswith(text)):
            return None
    return end - i, other_end - j
