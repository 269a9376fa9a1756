"""What items of every modality have in common, and why one cannot be used at all."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Protocol

from ctcasr.checking.findings import Finding, Kind, Unusable, some
from ctcasr.errors import ChannelError, ItemError
from ctcasr.manifest.utterance import Modality, Utterance

_RATE_MIN_ITEMS = 20  # fewer give no idea of a usual rate
_RATE_DEVIATIONS = 6.0  # of the log rate, in median absolute deviations scaled to a normal
_RATE_FACTORS = (3.0, 8.0)  # but never below the first times the median, always above the second


class MeasuredItem(Protocol):
    """What reading an item leaves, whatever it is; amounts are seconds, points or pixels."""

    @property
    def utterance(self) -> Utterance:
        """Which item."""

    @property
    def amount(self) -> float:
        """Its length."""

    @property
    def digest(self) -> bytes:
        """Equal for equal items."""

    @property
    def silent(self) -> bool:
        """Whether there is nothing in it."""


def unusable_item(utterance: Utterance, error: ItemError) -> Unusable:
    """Return an item that reading it failed for, with the reason."""
    if isinstance(error, ChannelError):
        kind = Kind.CHANNEL
    else:
        kind = Kind.UNREADABLE if utterance.path.exists() else Kind.MISSING
    return Unusable(utterance.id, kind, f"utterance {utterance.id!r}: {error}")


def unusable_modality(utterance: Utterance, modality: Modality) -> Unusable | None:
    """Return why an item is not what the model reads; None where it is."""
    if utterance.modality is modality:
        return None
    return Unusable(
        utterance.id,
        Kind.MODALITY,
        f"utterance {utterance.id!r}: its manifest has {utterance.modality.value!r}, and "
        f"frontend.kind is for {modality.items}; give it {modality.value!r}, or set frontend.kind",
    )


def check_duplicates(name: str, measured: Sequence[MeasuredItem]) -> list[Finding]:
    """Return items that stand in one set under several ids, sample for sample."""
    by_digest: dict[bytes, list[MeasuredItem]] = {}
    for m in measured:
        if not m.silent:
            by_digest.setdefault(m.digest, []).append(m)
    findings = []
    for same in by_digest.values():
        if len(same) > 1:
            ids = tuple(m.utterance.id for m in same)
            texts = dict.fromkeys(m.utterance.text for m in same)
            clash = f", but with different texts: {some([str(t) for t in texts])}"
            what = "samples" if same[0].utterance.modality is Modality.AUDIO else "content"
            message = f"{some(ids)}: the same {what}{clash if len(texts) > 1 else ''}"
            findings.append(Finding(Kind.DUPLICATE, (name,), ids, message))
    return findings


def check_speech_rate(
    name: str, measured: Sequence[MeasuredItem], num_labels: Mapping[str, int], *, unit: str
) -> list[Finding]:
    """Return utterances said or written with implausibly many or few labels for their set.

    Args:
        name: of the set.
        measured: its utterances.
        num_labels: labels of each utterance, by id; those without any are not judged.
        unit: of their amounts.
    """
    per = {"s": "second", "point": "frame"}.get(unit, unit)
    rates = {
        m.utterance.id: num_labels[m.utterance.id] / m.amount
        for m in measured
        if num_labels.get(m.utterance.id, 0) > 0
    }
    if len(rates) < _RATE_MIN_ITEMS:
        return []
    usual = statistics.median(rates.values())
    deviations = {item: abs(math.log(rate / usual)) for item, rate in rates.items()}
    spread = 1.4826 * statistics.median(deviations.values())
    least, most = (math.log(factor) for factor in _RATE_FACTORS)
    limit = min(max(_RATE_DEVIATIONS * spread, least), most)
    return [
        Finding(
            Kind.SPEECH_RATE,
            (name,),
            (item,),
            f"{item}: {rates[item]:.2f} labels per {per}; the set's median is {usual:.2f}",
        )
        for item, deviation in deviations.items()
        if deviation > limit
    ]
