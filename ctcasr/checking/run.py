"""Run every check over one or more sets of utterances.

Texts first, then one pass over the recordings by threads (decoding and hashing release Python's
lock), of which only a few numbers per utterance are kept: memory holds one recording per thread.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from ctcasr.alphabet import Alphabet, Unit, build_alphabet, split_units
from ctcasr.checking.alignment_checks import infeasible_alignment
from ctcasr.checking.audio_checks import (
    Measured,
    check_duplicates,
    check_formats,
    check_levels,
    check_speech_rate,
    measure,
)
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
from ctcasr.checking.leakage_checks import check_leakage, divide_by_split
from ctcasr.checking.text_checks import check_alphabet, check_rare_units, check_texts
from ctcasr.frontends.waveform import resampled_length
from ctcasr.manifest.utterance import Utterance
from ctcasr.text_rules import apply_rules

_SAMPLE_SEED = 1
_TRAINING = "train"


def check_utterances(
    sets: Mapping[str, Sequence[Utterance]],
    *,
    rules: Sequence[str],
    unit: Unit = Unit.CHAR,
    alphabet: Alphabet | None = None,
    sample_rate: int | None = None,
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
        sample_rate: Hz, of the model; None leaves resampling and alignment unjudged.
        num_frames: N samples at the model's rate -> T' encoder frames; None leaves alignment
            unjudged.
        writes_text: whether the model will; if not, nothing is said about texts.
        class_field: whose value is the one label of a recording; None where none is learned.
        frame_field: that says what is heard when; None where that is not learned.
        sample: read only so many recordings of each set, drawn with a fixed seed; None reads all.
        workers: threads that read recordings.
        progress: called with (recordings read, recordings to read).
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
    measured, unusable = _measure_all(chosen, workers=workers, progress=progress)
    findings += unusable
    for name, of_set in measured.items():
        findings += check_levels(name, of_set)
        findings += check_duplicates(name, of_set)
        findings += check_speech_rate(name, of_set, _count_labels(of_set, rules, unit, alphabet))
        if alphabet is not None and sample_rate is not None and num_frames is not None:
            findings += _check_alignment(name, of_set, rules, alphabet, sample_rate, num_frames)
    findings += check_formats(measured, sample_rate=sample_rate)
    findings += check_leakage(sides, measured, training=training, rules=rules)
    summaries = tuple(_summary(name, sides[name], measured[name]) for name in sides)
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
            f"{name}: {len(chosen[name]):,} of {len(utterances):,} recordings were read; the "
            f"others may hide defects",
        )
        for name, utterances in sides.items()
        if len(chosen[name]) < len(utterances)
    ]


def _measure_all(
    chosen: Mapping[str, Sequence[Utterance]],
    *,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[str, list[Measured]], list[Finding]]:
    jobs = [(name, utterance) for name, of_set in chosen.items() for utterance in of_set]
    measured: dict[str, list[Measured]] = {name: [] for name in chosen}
    findings = []
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        results = pool.map(measure, [utterance for _, utterance in jobs])
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
    measured: Sequence[Measured],
    rules: Sequence[str],
    alphabet: Alphabet,
    sample_rate: int,
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
            num_samples=resampled_length(m.num_samples, from_rate=m.rate, to_rate=sample_rate),
            num_frames=num_frames,
        )
        if unusable is not None:
            findings.append(_finding(name, unusable))
    return findings


def _count_labels(
    measured: Sequence[Measured], rules: Sequence[str], unit: Unit, alphabet: Alphabet | None
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
    name: str, utterances: Sequence[Utterance], measured: Sequence[Measured]
) -> SetSummary:
    return SetSummary(
        name=name,
        items=len(utterances),
        read=len(measured),
        seconds=sum(m.seconds for m in measured),
        speakers=len({u.speaker for u in utterances if u.speaker is not None}),
        rates=tuple(sorted({m.rate for m in measured})),
    )
