"""Labels of whole recordings: those that are missing, and those that training never hears."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from ctcasr.checking.findings import Finding, Kind, Unusable, counted, some
from ctcasr.manifest.utterance import Utterance
from ctcasr.text_rules import apply_rules

_FEW = 5
"""Recordings of a label, in a training set; fewer teach little."""


def class_of(utterance: Utterance, field: str, *, rules: Sequence[str]) -> str | None:
    """Return the one label of a recording; None where it has none.

    Args:
        utterance: the item.
        field: of the manifest, whose values are the labels.
        rules: text rules, for the field `text`.
    """
    value = utterance.value_of(field)
    return apply_rules(value, rules) if field == "text" and value is not None else value


def classes_of(
    utterances: Sequence[Utterance], field: str, *, rules: Sequence[str]
) -> tuple[str, ...]:
    """Return the labels that a set has, sorted."""
    found = {class_of(utterance, field, rules=rules) for utterance in utterances}
    return tuple(sorted(one for one in found if one is not None))


def unusable_class(
    utterance: Utterance, field: str, *, classes: Collection[str], rules: Sequence[str]
) -> Unusable | None:
    """Return why a recording's label cannot be learned or judged; None where it can."""
    found, item = class_of(utterance, field, rules=rules), utterance.id
    if found is None:
        return Unusable(
            item,
            Kind.NO_CLASS,
            f"utterance {item!r}: no `{field}` (heads.utterance.field); fill it in",
        )
    if found not in classes:
        return Unusable(
            item,
            Kind.UNKNOWN_CLASS,
            f"utterance {item!r}: {field} {found!r} is not in the training set, so it cannot be "
            f"told; add recordings of it there, or take the line out",
        )
    return None


def check_classes(
    sides: Mapping[str, Sequence[Utterance]], field: str, *, training: str, rules: Sequence[str]
) -> list[Finding]:
    """Return every recording without a label that the training set has, and its rare labels.

    Args:
        sides: utterances by the name of their set.
        field: of the manifest, whose values are the labels.
        training: name of the training set.
        rules: text rules, for the field `text`.
    """
    learned = sides.get(training, ())
    classes = classes_of(learned, field, rules=rules)
    findings = [
        Finding(Kind(found.kind), (name,), (found.id,), found.message)
        for name, utterances in sides.items()
        for utterance in utterances
        if (found := unusable_class(utterance, field, classes=classes, rules=rules)) is not None
    ]
    counts = Counter(class_of(utterance, field, rules=rules) for utterance in learned)
    rare = [one for one in classes if counts[one] < _FEW]
    if rare:
        ids = [u.id for u in learned if class_of(u, field, rules=rules) in rare]
        findings.append(
            Finding(
                Kind.RARE_CLASS,
                (training,),
                tuple(ids),
                f"{training}: {counted(len(rare), 'label')} of {field} with fewer than {_FEW} "
                f"recordings: {some(rare)}",
            )
        )
    return findings
