"""Dividing items into train, dev and test, so that no speaker stands on both sides.

Whole groups are dealt out: all items that share a value of the chosen field. Groups are put in the
order of a hash of their value, so the order of the items does not matter and a few new items move
few old ones, and that order is cut where the fractions say. Large groups make such cuts coarse;
then single groups are moved, or two exchanged, as long as that brings the sizes closer to the
fractions. Cost: O(G log G) for G groups, per exchange.
"""

import bisect
import dataclasses
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ctcasr.errors import ManifestError
from ctcasr.manifest.utterance import Utterance

PART_NAMES = ("train", "dev", "test")

_CLOSE_ENOUGH = 0.001  # of the whole, off the fraction asked for: not worth an exchange
_NO_GAIN = 1e-12  # relative; below it, a gain may be rounding and the search would not end
_ROUNDING = 0.005  # 33.3/33.3/33.3 is meant as thirds


def parse_fractions(text: str) -> tuple[float, ...]:
    """Return the shares in "80/10/10" or "0.8/0.1/0.1" as fractions that add up to 1.

    Raises:
        ManifestError: not two or three positive numbers that add up to 100 or to 1.
    """
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError as error:
        raise ManifestError(
            f"--split {text}: not numbers; write shares like 80/10/10 or 90/10"
        ) from error
    total = math.fsum(numbers)
    whole = 100 if total > 2 else 1
    return _checked([number / whole for number in numbers], f"--split {text}")


def split_utterances(
    utterances: Iterable[Utterance], *, fractions: Sequence[float], by: str | None, seed: int = 0
) -> dict[str, list[Utterance]]:
    """Return the items of each part, in the order given, with their `split` set.

    Args:
        utterances: the items; their own `split` is not looked at unless it is what `by` names.
        fractions: shares of train and dev, or of train, dev and test, adding up to 1. They are
            measured in seconds where every item has a duration, else in items.
        by: field whose values must not stand in two parts: speaker, group or any other, of the
            schema or not. Items without it are kept together as one value. None divides items.
        seed: another seed gives another division.

    Raises:
        ManifestError: wrong fractions; a field that no item has; fewer values than parts.
    """
    utterances = list(utterances)
    shares = _checked(fractions, f"fractions {tuple(fractions)}")
    keys = [_key(utterance, by) for utterance in utterances]
    if by is not None and all(key is None for key in keys):
        raise _no_such_field(utterances, by)
    sizes = _sizes(utterances, keys)
    if len(sizes) < len(shares):
        raise ManifestError(
            f"cannot divide {len(sizes)} {by or 'item'}(s) into {len(shares)} parts without one "
            f"standing in two; use fewer parts or divide by another field"
        )
    parts = _deal(sizes, shares, seed)
    names = PART_NAMES[: len(shares)]
    divided: dict[str, list[Utterance]] = {name: [] for name in names}
    for utterance, key in zip(utterances, keys, strict=True):
        name = names[parts[key]]
        divided[name].append(dataclasses.replace(utterance, split=name))
    return divided


def _checked(fractions: Sequence[float], what: str) -> tuple[float, ...]:
    total = math.fsum(fractions)
    if len(fractions) not in (2, 3) or not all(0 < share < 1 for share in fractions):
        raise ManifestError(
            f"{what}: needs two shares (train/dev) or three (train/dev/test), each above 0; write "
            f"for example 80/10/10"
        )
    if abs(total - 1) > _ROUNDING:
        raise ManifestError(f"{what}: adds up to {total:.0%}; the shares must make 100 %")
    return tuple(share / total for share in fractions)


def _key(utterance: Utterance, by: str | None) -> str | None:
    """Return what an item is grouped by; None where it lacks the field."""
    return utterance.id if by is None else utterance.value_of(by)


def _sizes(utterances: Sequence[Utterance], keys: Sequence[str | None]) -> dict[str | None, float]:
    """Return each group's size: seconds where all are known, else items."""
    timed = all(utterance.duration is not None for utterance in utterances)
    parts: dict[str | None, list[float]] = {}
    for utterance, key in zip(utterances, keys, strict=True):
        parts.setdefault(key, []).append(utterance.duration or 0.0 if timed else 1.0)
    # an exact sum does not depend on the order of the items
    return {key: math.fsum(lengths) for key, lengths in parts.items()}


def _deal(
    sizes: Mapping[str | None, float], shares: Sequence[float], seed: int
) -> dict[str | None, int]:
    """Return the part of each group."""
    keys = sorted(sizes, key=lambda key: _hash(key, seed))
    weights = [sizes[key] for key in keys]
    total = math.fsum(weights)
    parts = _cut(weights, shares)
    while True:
        excess = [
            math.fsum(weights[group] for group in part) - share * total
            for part, share in zip(parts, shares, strict=True)
        ]
        if max(map(abs, excess)) <= _CLOSE_ENOUGH * total:
            break
        best = max(
            (
                _best_exchange(source, target, parts, weights, excess)
                for source, target in itertools.permutations(range(len(parts)), 2)
            ),
            key=lambda exchange: exchange.gain,
        )
        if best.gain <= _NO_GAIN * total**2:
            break
        _carry_out(best, parts)
    return {keys[group]: number for number, part in enumerate(parts) for group in part}


def _hash(key: str | None, seed: int) -> bytes:
    return hashlib.sha256(json.dumps([seed, key]).encode("ascii")).digest()


def _cut(weights: Sequence[float], shares: Sequence[float]) -> list[list[int]]:
    """Return the groups of each part: a run of the order, and at least one group."""
    ends = [end * math.fsum(weights) for end in itertools.accumulate(shares)]
    parts: list[list[int]] = [[] for _ in shares]
    start = 0.0
    for group, weight in enumerate(weights):
        middle = start + weight / 2
        number = next((n for n, end in enumerate(ends) if middle < end), len(ends) - 1)
        parts[number].append(group)
        start += weight
    for part in parts:
        if not part:
            part.append(max(parts, key=len).pop())
    return parts


class _Exchange(NamedTuple):
    """One group from `source` to `target`, and perhaps another back.

    `gain` is by how much the sum of squared deviations from the sizes asked for shrinks.
    """

    gain: float
    source: int
    target: int
    given: int
    taken: int | None


def _best_exchange(
    source: int,
    target: int,
    parts: Sequence[Sequence[int]],
    weights: Sequence[float],
    excess: Sequence[float],
) -> _Exchange:
    """Return the exchange between two parts that gains most; its gain may be negative.

    Moving weight d changes the squared deviations by -2 d (gap - d), where gap is the difference
    of the excesses; best is d = gap / 2, and for each group given a bisection finds the one to
    take back that comes closest to it.
    """
    gap = excess[source] - excess[target]
    back = sorted((weights[group], group) for group in parts[target])
    best = _Exchange(-math.inf, source, target, parts[source][0], None)
    for given in parts[source]:
        at = bisect.bisect(back, (weights[given] - gap / 2, -1))
        candidates: list[tuple[float, int | None]] = list(back[max(at - 1, 0) : at + 1])
        if len(parts[source]) > 1:
            candidates.append((0.0, None))
        for weight, taken in candidates:
            moved = weights[given] - weight
            gain = 2 * moved * (gap - moved)
            if gain > best.gain:
                best = _Exchange(gain, source, target, given, taken)
    return best


def _carry_out(exchange: _Exchange, parts: Sequence[list[int]]) -> None:
    parts[exchange.source].remove(exchange.given)
    parts[exchange.target].append(exchange.given)
    if exchange.taken is not None:
        parts[exchange.target].remove(exchange.taken)
        parts[exchange.source].append(exchange.taken)


def _no_such_field(utterances: Sequence[Utterance], by: str) -> ManifestError:
    extra = {name for utterance in utterances for name in utterance.extra}
    used = [name for name in ("speaker", "group") if any(getattr(u, name) for u in utterances)]
    there = ", ".join([*used, *sorted(extra)]) or "none to divide by"
    return ManifestError(f"no item has the field {by!r}; fields that items have: {there}")
