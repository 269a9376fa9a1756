"""Scores of a test set: everything that results.json holds.

Every reference with text counts. One without a hypothesis, or with a failed one, counts as if the
output had been empty, is listed, and marks the results as partial: nothing gets better by failing.
References without text cannot be scored; they are left out and named in `Results.unlabelled`.

Text is scored twice. `raw` is what was written, under the default rules only (Unicode NFC and white
space); `normalised` is under the rules that were asked for. Words are what stands between spaces;
characters are Unicode code points, spaces included. Utterances are listed with their raw text.

Rates have intervals that draw whole clusters of utterances: speakers, unless another field is asked
for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ctcasr.errors import ScoringError
from ctcasr.scoring.alignment import Costs
from ctcasr.scoring.classes import ClassScore
from ctcasr.scoring.error_rate import ErrorCounts, count_errors
from ctcasr.scoring.measured import Measured
from ctcasr.scoring.rates import Clusters, ErrorRate, clusters_of, pooled_rate
from ctcasr.scoring.significance import BY_SPEAKER, Interval, bootstrap_interval
from ctcasr.text_rules import DEFAULT_RULES, apply_rules_to_pair

SCHEMA = 1
"""Of results.json."""
FieldValue = str | float | bool

_NAMED_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class Reference:
    """What was said.

    Attributes:
        text: None where nobody wrote it down, "" where nothing was said.
        fields: what else is known of the utterance, by name: strings, numbers, truth values.
    """

    id: str
    text: str | None
    speaker: str | None = None
    fields: Mapping[str, FieldValue] = field(default_factory=dict)

    def value_of(self, name: str) -> str | None:
        """Return a field as text, "speaker" among them; None where it has none."""
        value = self.speaker if name == BY_SPEAKER else self.fields.get(name)
        return None if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Failed:
    """The reason why an item has no output."""

    reason: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where results come from; None for what does not apply.

    Attributes:
        command: the command line.
        commit: of the source tree, where it is one.
        versions: of ctcasr and what it runs on.
        model: {"name", "sha256"}.
        decoder: its settings.
        reference_sha256: of the file of references.
        rtf: real-time factor: seconds of computing per second of audio.
    """

    command: str | None = None
    commit: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    model: Mapping[str, Any] | None = None
    decoder: Mapping[str, Any] | None = None
    reference_sha256: str | None = None
    rtf: float | None = None


@dataclass(frozen=True, slots=True)
class SentenceErrors:
    """How many of `total` utterances are not exactly right."""

    total: int
    wrong: int
    interval: Interval | None

    def to_json(self) -> dict[str, Any]:
        """Return the record "sentence" of results.json."""
        return {
            "n": self.total,
            "wrong": self.wrong,
            "rate": self.wrong / self.total if self.total else None,
            "ci95": None if self.interval is None else list(self.interval),
        }


@dataclass(frozen=True, slots=True)
class Score:
    """The three error rates under one set of text rules."""

    word: ErrorRate
    char: ErrorRate
    sentence: SentenceErrors

    def to_json(self) -> dict[str, Any]:
        """Return the record S of results.json."""
        return {part: getattr(self, part).to_json() for part in ("word", "char", "sentence")}


@dataclass(frozen=True, slots=True)
class ScoredUtterance:
    """One utterance under one set of text rules."""

    id: str
    speaker: str | None
    reference: str
    hypothesis: str
    word: ErrorCounts
    char: ErrorCounts
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    measured: Measured | None = None

    def to_json(self) -> dict[str, Any]:
        """Return one entry of "utterances" in results.json."""
        return {
            "id": self.id,
            "speaker": self.speaker,
            "ref": self.reference,
            "hyp": self.hypothesis,
            "word": ErrorRate(self.word).to_json(),
            "char": ErrorRate(self.char).to_json(),
            **({"fields": dict(self.fields)} if self.fields else {}),
            **({"measured": self.measured.to_json()} if self.measured else {}),
        }


@dataclass(frozen=True, slots=True)
class Results:
    """What results.json holds.

    Attributes:
        raw: under the default text rules.
        normalised: under `rules`.
        rules: names of the text rules of `normalised`, in order.
        costs: of the alignments in which errors were counted.
        clusters: how many clusters of utterances the intervals draw from, and what they are.
        utterances: every reference with text, in order, with raw text.
        under_rules: the same utterances with normalised text.
        failed: id and reason of each that has no output.
        unlabelled: ids of the references without text.
        provenance: where the results come from.
        confidence_kind: what the measured confidences are; None where there are none.
        label: errors of the one label of each recording; None where the model gives none.
        frames: errors of the labels of frames; the same.
    """

    raw: Score
    normalised: Score
    rules: tuple[str, ...]
    costs: Costs
    clusters: Clusters
    utterances: tuple[ScoredUtterance, ...]
    under_rules: tuple[ScoredUtterance, ...]
    failed: tuple[tuple[str, str], ...]
    unlabelled: tuple[str, ...]
    provenance: Provenance = Provenance()
    confidence_kind: str | None = None
    label: ClassScore | None = None
    frames: ClassScore | None = None

    @property
    def partial(self) -> bool:
        """Whether some output is missing."""
        return bool(self.failed)

    def to_json(self) -> dict[str, Any]:
        """Return results.json; `total` items have text, `scored` ones have output as well."""
        made = self.provenance
        return {
            "schema": SCHEMA,
            "command": made.command,
            "commit": made.commit,
            "versions": dict(made.versions),
            "model": None if made.model is None else dict(made.model),
            "decoder": None if made.decoder is None else dict(made.decoder),
            "reference_sha256": made.reference_sha256,
            "rules": list(self.rules),
            "costs": self.costs.value,
            "clusters": {"by": self.clusters.by, "n": self.clusters.count},
            **({"label": self.label.to_json()} if self.label else {}),
            **({"frames": self.frames.to_json()} if self.frames else {}),
            "raw": self.raw.to_json(),
            "normalised": self.normalised.to_json(),
            "items": {
                "total": len(self.utterances),
                "scored": len(self.utterances) - len(self.failed),
                "failed": [{"id": item, "reason": reason} for item, reason in self.failed],
                **({"unlabelled": list(self.unlabelled)} if self.unlabelled else {}),
            },
            "partial": self.partial,
            "rtf": made.rtf,
            **({"confidence_kind": self.confidence_kind} if self.confidence_kind else {}),
            "utterances": [utterance.to_json() for utterance in self.utterances],
        }


def score_utterances(
    references: Sequence[Reference],
    hypotheses: Mapping[str, str | Failed],
    *,
    rules: Sequence[str] = DEFAULT_RULES,
    costs: Costs = Costs.LEVENSHTEIN,
    cluster: str = BY_SPEAKER,
    measured: Mapping[str, Measured] | None = None,
    seed: int = 0,
    provenance: Provenance = Provenance(),
) -> Results:
    """Score hypotheses against references, paired by id.

    Args:
        references: what was said; those without text are left out.
        hypotheses: the output, or why there is none, by id.
        rules: names of the text rules of the normalised score.
        costs: of the alignments in which errors are counted.
        cluster: the field whose values say which utterances the intervals draw together.
        measured: what a recognizer found out about each utterance, by id.
        seed: of the bootstrap intervals.
        provenance: where the results come from.

    Raises:
        ScoringError: an id given twice, a hypothesis that belongs to no reference, or no utterance
            has the field that is to be the cluster.
        ConfigError: a text rule that does not exist.
    """
    _check_ids([reference.id for reference in references], hypotheses)
    labelled = [reference for reference in references if reference.text is not None]
    outputs = [hypotheses.get(item.id, Failed("no hypothesis")) for item in labelled]
    clusters = find_clusters(labelled, cluster)
    raw, normalised = (
        _score_each(labelled, outputs, measured or {}, rules=rules, costs=costs)
        for rules in (DEFAULT_RULES, rules)
    )
    return Results(
        raw=_summarise(raw, clusters, seed=seed),
        normalised=_summarise(normalised, clusters, seed=seed),
        rules=tuple(rules),
        costs=costs,
        clusters=clusters,
        utterances=tuple(raw),
        under_rules=tuple(normalised),
        failed=tuple(
            (item.id, output.reason)
            for item, output in zip(labelled, outputs, strict=True)
            if isinstance(output, Failed)
        ),
        unlabelled=tuple(item.id for item in references if item.text is None),
        provenance=provenance,
    )


def name_some(ids: Sequence[str]) -> str:
    """Return the first few ids for a message, and how many more there are."""
    more = len(ids) - _NAMED_AT_MOST
    named = ", ".join(repr(item) for item in ids[:_NAMED_AT_MOST])
    return f"{named} and {more} more" if more > 0 else named


def _check_ids(reference_ids: list[str], hypotheses: Mapping[str, str | Failed]) -> None:
    known = set(reference_ids)
    if len(known) < len(reference_ids):
        twice = sorted({item for item in known if reference_ids.count(item) > 1})
        raise ScoringError(
            f"references: ids given twice: {name_some(twice)}; give each one its own"
        )
    strangers = [item for item in hypotheses if item not in known]
    if strangers:
        raise ScoringError(
            f"{len(strangers)} of {len(hypotheses)} hypotheses belong to no reference: "
            f"{name_some(strangers)}; score them against the manifest that they were made from"
        )


def find_clusters(references: Sequence[Reference], field_name: str) -> Clusters:
    """Return which references the intervals draw together.

    Args:
        references: what was said.
        field_name: whose values name the clusters; "speaker", or one of their fields.

    Raises:
        ScoringError: no reference has such a field.
    """
    values = [reference.value_of(field_name) for reference in references]
    if field_name != BY_SPEAKER and references and not any(value is not None for value in values):
        known = sorted({name for reference in references for name in reference.fields})
        raise ScoringError(
            f"cluster {field_name!r}: no utterance has such a field; choose from: "
            f"{', '.join([BY_SPEAKER, *known])}"
        )
    return clusters_of([reference.id for reference in references], values, field_name)


def _score_each(
    references: Sequence[Reference],
    outputs: Sequence[str | Failed],
    measured: Mapping[str, Measured],
    *,
    rules: Sequence[str],
    costs: Costs,
) -> list[ScoredUtterance]:
    scored = []
    for reference, output in zip(references, outputs, strict=True):
        heard = "" if isinstance(output, Failed) else output
        said, recognised = apply_rules_to_pair(reference.text or "", heard, rules)
        scored.append(
            ScoredUtterance(
                id=reference.id,
                speaker=reference.speaker,
                reference=said,
                hypothesis=recognised,
                word=count_errors(said.split(), recognised.split(), costs=costs),
                char=count_errors(said, recognised, costs=costs),
                fields=reference.fields,
                measured=measured.get(reference.id),
            )
        )
    return scored


def _summarise(utterances: Sequence[ScoredUtterance], clusters: Clusters, *, seed: int) -> Score:
    wrong = [item.reference != item.hypothesis for item in utterances]
    return Score(
        word=pooled_rate([item.word for item in utterances], clusters, seed=seed),
        char=pooled_rate([item.char for item in utterances], clusters, seed=seed),
        sentence=SentenceErrors(
            total=len(wrong),
            wrong=sum(wrong),
            interval=bootstrap_interval(wrong, [1] * len(wrong), clusters.names, seed=seed),
        ),
    )
