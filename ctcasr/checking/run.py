"""Run every check over one or more sets of utterances.

Texts first, then one pass over the items by threads (decoding and hashing release Python's
lock), of which only a few numbers per utterance are kept: memory holds one recording per thread.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from ctcasr.alphabet import Alphabet, Unit, build_alphabet, split_units
from ctcasr.checking.alignment_checks import infeasible_alignment
from ctcasr.checking.audio_checks import Measured, check_formats, check_levels, measure
from ctcasr.checking.class_checks import check_classes
from ctcasr.checking.findings import (
    CheckReport,
    Finding,
    Kind,
    SetSummary,
    Unusable,
    gravest_first,
)
from ctcasr.checking.frame_checks import check_stretches
from ctcasr.checking.image_checks import MeasuredImage, check_images, measure_image
from ctcasr.checking.ink_checks import MeasuredInk, check_ink, measure_ink
from ctcasr.checking.item_checks import (
    MeasuredItem,
    check_duplicates,
    check_speech_rate,
    unusable_modality,
)
from ctcasr.checking.leakage_checks import check_leakage, divide_by_split
from ctcasr.checking.text_checks import check_alphabet, check_rare_units, check_texts
from ctcasr.frontends.image.line_images import LineImages
from ctcasr.frontends.ink.pen_strokes import PenStrokes
from ctcasr.frontends.medium import Medium
from ctcasr.manifest.utterance import Modality, Utterance
from ctcasr.text_rules import apply_rules

_SAMPLE_SEED = 1
_ROUNDING = 1e-6  # of a position: an amount times its rate is whole, but for floats
_TRAINING = "train"


def check_utterances(
    sets: Mapping[str, Sequence[Utterance]],
    *,
    rules: Sequence[str],
    unit: Unit = Unit.CHAR,
    alphabet: Alphabet | None = None,
    medium: Medium[Any, Any] | None = None,
    num_frames: Callable[[int], int] | None = None,
    writes_text: bool = True,
    class_field: str | None = None,
    frame_field: str | None = None,
    sample: int | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Return what is wrong, odd or worth knowing about sets of utterances.

    Args:
        sets: utterances by the name of their manifest; one that holds several `split` values is
            divided by them.
        rules: text rules that training would apply.
        unit: what one label stands for, where no alphabet is given.
        alphabet: the model's; where None, that of the set called "train", or of the first.
        medium: of the model; None leaves resampling and alignment unjudged, and takes recordings.
        num_frames: N positions -> T' encoder frames; None leaves alignment unjudged.
        writes_text: whether the model will; if not, nothing is said about texts.
        class_field: whose value is the one label of a recording; None where none is learned.
        frame_field: that says what is heard when; None where that is not learned.
        sample: read only so many items of each set, drawn with a fixed seed; None reads all.
        workers: threads that read items.
        progress: called with (items read, items to read).
    """
    sides = divide_by_split(sets)
    training = _TRAINING if _TRAINING in sides else next(iter(sides), _TRAINING)
    if alphabet is None and writes_text:
        alphabet = _alphabet_of(sides.get(training, ()), rules=rules, unit=unit)
    findings: list[Finding] = []
    if writes_text:
        findings += _check_text(sides, training=training, rules=rules, alphabet=alphabet)
    if class_field is not None:
        findings += check_classes(sides, class_field, training=training, rules=rules)
    if frame_field is not None:
        findings += check_stretches(sides, frame_field, training=training)
    chosen = {name: _draw(utterances, sample) for name, utterances in sides.items()}
    findings += _sampled(sides, chosen)
    measured, unusable = _measure_all(chosen, medium, workers=workers, progress=progress)
    findings += unusable
    axis = "s" if medium is None else medium.unit
    for name, of_set in measured.items():
        findings += check_levels(name, _recordings(of_set))
        findings += check_ink(name, [m for m in of_set if isinstance(m, MeasuredInk)])
        findings += check_images(name, [m for m in of_set if isinstance(m, MeasuredImage)])
        findings += check_duplicates(name, of_set)
        counts = _count_labels(of_set, rules, unit, alphabet)
        findings += check_speech_rate(name, of_set, counts, unit=axis)
        if alphabet is not None and medium is not None and num_frames is not None:
            findings += _check_alignment(name, of_set, rules, alphabet, medium.rate, num_frames)
    recordings = {name: _recordings(of_set) for name, of_set in measured.items()}
    is_sound = medium is not None and medium.modality is Modality.AUDIO
    findings += check_formats(
        recordings, sample_rate=round(medium.rate) if medium is not None and is_sound else None
    )
    findings += check_leakage(sides, measured, training=training, rules=rules)
    summaries = tuple(_summary(name, sides[name], measured[name], axis) for name in sides)
    return CheckReport(gravest_first(findings), summaries)


def _alphabet_of(
    utterances: Sequence[Utterance], *, rules: Sequence[str], unit: Unit
) -> Alphabet | None:
    """Return the alphabet of a training set, or None where it holds no text at all."""
    texts = [apply_rules(u.text, rules) for u in utterances if u.text is not None]
    return build_alphabet(texts, unit=unit) if any(texts) else None


def _check_text(
    sides: Mapping[str, Sequence[Utterance]],
    *,
    training: str,
    rules: Sequence[str],
    alphabet: Alphabet | None,
) -> list[Finding]:
    findings = []
    for name, utterances in sides.items():
        findings += check_texts(name, utterances, rules=rules)
        if alphabet is not None:
            findings += check_alphabet(name, utterances, rules=rules, alphabet=alphabet)
    if alphabet is not None:
        findings += check_rare_units(training, sides[training], rules=rules, alphabet=alphabet)
    return findings


def _draw(utterances: Sequence[Utterance], sample: int | None) -> list[Utterance]:
    if sample is None or sample >= len(utterances):
        return list(utterances)
    picked = random.Random(_SAMPLE_SEED).sample(range(len(utterances)), sample)
    return [utterances[index] for index in sorted(picked)]


def _sampled(
    sides: Mapping[str, Sequence[Utterance]], chosen: Mapping[str, Sequence[Utterance]]
) -> list[Finding]:
    return [
        Finding(
            Kind.SAMPLED,
            (name,),
            (),
            f"{name}: {len(chosen[name]):,} of {len(utterances):,} items were read; the "
            f"others may hide defects",
        )
        for name, utterances in sides.items()
        if len(chosen[name]) < len(utterances)
    ]


def _recordings(measured: Sequence[MeasuredItem]) -> list[Measured]:
    return [m for m in measured if isinstance(m, Measured)]


def _measure_one(
    utterance: Utterance, medium: Medium[Any, Any] | None
) -> Measured | MeasuredInk | MeasuredImage | Unusable:
    wrong = unusable_modality(utterance, Modality.AUDIO if medium is None else medium.modality)
    if wrong is not None:
        return wrong
    if isinstance(medium, LineImages):
        return measure_image(utterance, medium)
    return measure_ink(utterance, medium) if isinstance(medium, PenStrokes) else measure(utterance)


def _measure_all(
    chosen: Mapping[str, Sequence[Utterance]],
    medium: Medium[Any, Any] | None,
    *,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[str, list[MeasuredItem]], list[Finding]]:
    jobs = [(name, utterance) for name, of_set in chosen.items() for utterance in of_set]
    measured: dict[str, list[MeasuredItem]] = {name: [] for name in chosen}
    findings = []
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        work = partial(_measure_one, medium=medium)
        results = pool.map(work, [utterance for _, utterance in jobs])
        for done, ((name, _), result) in enumerate(zip(jobs, results, strict=True), start=1):
            if isinstance(result, Unusable):
                findings.append(_finding(name, result))
            else:
                measured[name].append(result)
            if progress is not None:
                progress(done, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the rest
    return measured, findings


def _check_alignment(
    name: str,
    measured: Sequence[MeasuredItem],
    rules: Sequence[str],
    alphabet: Alphabet,
    rate: float,
    num_frames: Callable[[int], int],
) -> list[Finding]:
    findings = []
    for m in measured:
        text = m.utterance.text
        if text is None or alphabet.unknown(apply_rules(text, rules)):
            continue  # found already, as unlabelled or outside the alphabet
        unusable = infeasible_alignment(
            m.utterance,
            alphabet.encode(apply_rules(text, rules)),
            num_positions=math.ceil(m.amount * rate - _ROUNDING),
            num_frames=num_frames,
        )
        if unusable is not None:
            findings.append(_finding(name, unusable))
    return findings


def _count_labels(
    measured: Sequence[MeasuredItem], rules: Sequence[str], unit: Unit, alphabet: Alphabet | None
) -> dict[str, int]:
    split = alphabet.split if alphabet is not None else lambda text: split_units(text, unit)
    return {
        m.utterance.id: len(split(apply_rules(m.utterance.text, rules)))
        for m in measured
        if m.utterance.text and not m.silent
    }


def _finding(name: str, unusable: Unusable) -> Finding:
    return Finding(Kind(unusable.kind), (name,), (unusable.id,), unusable.message)


def _summary(
    name: str, utterances: Sequence[Utterance], measured: Sequence[MeasuredItem], unit: str
) -> SetSummary:
    return SetSummary(
        name=name,
        items=len(utterances),
        read=len(measured),
        amount=sum(m.amount for m in measured),
        speakers=len({u.speaker for u in utterances if u.speaker is not None}),
        rates=tuple(sorted({m.rate for m in _recordings(measured)})),
        unit=unit,
    )
