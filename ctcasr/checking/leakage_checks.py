"""What stands on both sides of a split, so that a score flatters.

A recording, or a stretch of one, in training and test is an error whatever the purpose. Speakers,
sessions or pages (`group`) and texts may be shared on purpose, but then the score is for voices,
rooms, hands or sentences already known, and should say so.
"""

import itertools
import math
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from ctcasr.checking.findings import Finding, Kind, counted, some
from ctcasr.checking.item_checks import MeasuredItem
from ctcasr.manifest.utterance import Modality, Utterance
from ctcasr.text_rules import apply_rules

_ROUNDING_S = 0.1  # manifests round their times, and neighbours may share an edge


def divide_by_split(sets: Mapping[str, Sequence[Utterance]]) -> dict[str, list[Utterance]]:
    """Return the sets with each that holds several `split` values divided by them.

    One manifest with splits gives sets called by the split; among several manifests, the
    manifest's name comes first, as in "an4/test".
    """
    divided: dict[str, list[Utterance]] = {}
    for name, utterances in sets.items():
        splits = list(dict.fromkeys(u.split for u in utterances))
        for split in splits if len(splits) > 1 else [None]:
            label = "no split" if split is None else split
            side = name if len(splits) <= 1 else label if len(sets) == 1 else f"{name}/{label}"
            chosen = [u for u in utterances if len(splits) <= 1 or u.split == split]
            divided.setdefault(side, []).extend(chosen)
    return divided


def check_leakage(
    sets: Mapping[str, Sequence[Utterance]],
    measured: Mapping[str, Sequence[MeasuredItem]],
    *,
    training: str,
    rules: Sequence[str],
) -> list[Finding]:
    """Return what each pair of sets shares; texts only between the training set and another.

    Args:
        sets: utterances by set.
        measured: those whose recording was read, by set.
        training: name of the set that is learned from.
        rules: text rules applied before texts are compared.
    """
    findings = []
    order = [training, *(name for name in sets if name != training)]
    for first, second in itertools.combinations(order, 2):
        pair = (first, second)
        same = _shared_recordings(pair, measured[first], measured[second])
        told = {item for finding in same for item in finding.items}
        findings += same
        findings += _shared_stretches(pair, sets[first], sets[second], told)
        findings += _shared_ids(pair, sets[first], sets[second])
        findings += _shared_speakers(pair, sets[first], sets[second])
        findings += _shared_groups(pair, sets[first], sets[second])
        if first == training:
            findings += _shared_texts(pair, sets[first], sets[second], rules)
    return findings


def _shared_recordings(
    pair: tuple[str, str], first: Sequence[MeasuredItem], second: Sequence[MeasuredItem]
) -> list[Finding]:
    known = {m.digest: m.utterance.id for m in first if not m.silent}
    shared = [(known[m.digest], m.utterance.id) for m in second if m.digest in known]
    if not shared:
        return []
    examples = some([f"{a} = {b}" for a, b in shared])
    message = f"{counted(len(shared), 'recording')} of {pair[1]} also in {pair[0]}: {examples}"
    return [Finding(Kind.SHARED_RECORDING, pair, tuple(b for _, b in shared), message)]


def _shared_stretches(
    pair: tuple[str, str],
    first: Sequence[Utterance],
    second: Sequence[Utterance],
    told: Container[str],
) -> list[Finding]:
    """Return segments of one file that overlap in time, without those told of already."""
    by_file: dict[Path, list[Utterance]] = {}
    for utterance in (one for one in first if one.modality is Modality.AUDIO):
        by_file.setdefault(utterance.path.resolve(), []).append(utterance)
    shared = []
    for utterance in second:
        others = by_file.get(utterance.path.resolve(), ()) if utterance.id not in told else ()
        other = next((o for o in others if _overlap_s(utterance, o) > _ROUNDING_S), None)
        if other is not None:
            shared.append((utterance, other))
    if not shared:
        return []
    examples = some([f"{a.id} over {b.id} in {a.path.name}" for a, b in shared])
    message = f"{counted(len(shared), 'segment')} of {pair[1]} partly in {pair[0]}: {examples}"
    return [Finding(Kind.SHARED_STRETCH, pair, tuple(u.id for u, _ in shared), message)]


def _overlap_s(one: Utterance, other: Utterance) -> float:
    """Return for how many seconds two segments of a file hold the same samples."""
    if None not in (one.channel, other.channel) and one.channel != other.channel:
        return 0.0
    return min(map(_end_s, (one, other))) - max(one.offset, other.offset)


def _end_s(utterance: Utterance) -> float:
    return math.inf if utterance.duration is None else utterance.offset + utterance.duration


def _shared_ids(
    pair: tuple[str, str], first: Sequence[Utterance], second: Sequence[Utterance]
) -> list[Finding]:
    known = {u.id for u in first}
    shared = tuple(u.id for u in second if u.id in known)
    if not shared:
        return []
    message = f"{counted(len(shared), 'id')} of {pair[1]} also in {pair[0]}: {some(shared)}"
    return [Finding(Kind.SHARED_ID, pair, shared, message)]


def _shared_speakers(
    pair: tuple[str, str], first: Sequence[Utterance], second: Sequence[Utterance]
) -> list[Finding]:
    sides = ({u.id: u.speaker for u in side if u.speaker is not None} for side in (first, second))
    return _shared_names(pair, *sides, total=len(second), kind=Kind.SHARED_SPEAKER, what="speaker")


def _shared_groups(
    pair: tuple[str, str], first: Sequence[Utterance], second: Sequence[Utterance]
) -> list[Finding]:
    sides = ({u.id: u.group for u in side if u.group is not None} for side in (first, second))
    return _shared_names(pair, *sides, total=len(second), kind=Kind.SHARED_GROUP, what="group")


def _shared_names(
    pair: tuple[str, str],
    first: Mapping[str, str],
    second: Mapping[str, str],
    *,
    total: int,
    kind: Kind,
    what: str,
) -> list[Finding]:
    """Return the finding that names, of utterances by id, stand on both sides."""
    known = set(first.values())
    items = tuple(item for item, name in second.items() if name in known)
    if not items:
        return []
    names = sorted(known.intersection(second.values()))
    message = (
        f"{counted(len(names), what)} of {pair[1]} ({len(items):,} of its {total:,} utterances) "
        f"also in {pair[0]}: {some(names)}"
    )
    return [Finding(kind, pair, items, message)]


def _shared_texts(
    pair: tuple[str, str],
    first: Sequence[Utterance],
    second: Sequence[Utterance],
    rules: Sequence[str],
) -> list[Finding]:
    known = {apply_rules(u.text, rules) for u in first if u.text} - {""}
    texts = {u.id: apply_rules(u.text, rules) for u in second if u.text}
    shared = {item: text for item, text in texts.items() if text in known}
    if not shared:
        return []
    different = list(dict.fromkeys(shared.values()))
    message = (
        f"{len(shared):,} of {len(second):,} utterances of {pair[1]} have a text that is also in "
        f"{pair[0]}: {some(different)}"
    )
    return [Finding(Kind.SHARED_TEXT, pair, tuple(shared), message)]
