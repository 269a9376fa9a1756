"""What stands on both sides of a split, so that a score flatters.

A recording in training and test is an error whatever the purpose. Speakers and texts may be shared
on purpose, but then the score is for voices or sentences already heard, and should say so.
"""

import itertools
from collections.abc import Mapping, Sequence

from ctcasr.checking.audio_checks import Measured
from ctcasr.checking.findings import Finding, Kind, counted, some
from ctcasr.manifest.utterance import Utterance
from ctcasr.text_rules import apply_rules


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
    measured: Mapping[str, Sequence[Measured]],
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
        findings += _shared_recordings(pair, measured[first], measured[second])
        findings += _shared_ids(pair, sets[first], sets[second])
        findings += _shared_speakers(pair, sets[first], sets[second])
        if first == training:
            findings += _shared_texts(pair, sets[first], sets[second], rules)
    return findings


def _shared_recordings(
    pair: tuple[str, str], first: Sequence[Measured], second: Sequence[Measured]
) -> list[Finding]:
    known = {m.digest: m.utterance.id for m in first if not m.silent}
    shared = [(known[m.digest], m.utterance.id) for m in second if m.digest in known]
    if not shared:
        return []
    examples = some([f"{a} = {b}" for a, b in shared])
    message = f"{counted(len(shared), 'recording')} of {pair[1]} also in {pair[0]}: {examples}"
    return [Finding(Kind.SHARED_RECORDING, pair, tuple(b for _, b in shared), message)]


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
    known = {u.speaker for u in first if u.speaker is not None}
    items = tuple(u.id for u in second if u.speaker in known)
    if not items:
        return []
    speakers = sorted({u.speaker for u in second if u.speaker in known and u.speaker is not None})
    message = (
        f"{counted(len(speakers), 'speaker')} of {pair[1]} ({len(items):,} of its {len(second):,} "
        f"utterances) also heard in {pair[0]}: {some(speakers)}"
    )
    return [Finding(Kind.SHARED_SPEAKER, pair, items, message)]


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
