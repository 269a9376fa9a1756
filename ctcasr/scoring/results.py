"""Scores of a test set: everything that results.json holds.

Every reference with text counts. One without a hypothesis, or with a failed one, counts as if the
output had been empty, is listed, and marks the results as partial: nothing gets better by failing.
References without text cannot be scored; they are left out and named in `Results.unlabelled`.

Text is scored twice. `raw` is what was written, under the default rules only (Unicode NFC and white
space); `normalised` is under the rules that were asked for. Words are what stands between spaces;
characters are Unicode code points, spaces included. Utterances are listed with their raw text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ctcasr.errors import ScoringError
from ctcasr.scoring.error_rate import ErrorCounts, count_errors
from ctcasr.scoring.significance import (
    Interval,
    ResampledBy,
    bootstrap_interval,
    groups_to_resample,
)
from ctcasr.text_rules import DEFAULT_RULES, apply_rules

_NAMED_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class Reference:
    """What was said: `text` is None where nobody wrote it down, "" where nothing was said."""

    id: str
    text: str | None
    speaker: str | None = None


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
class ErrorRate:
    """Error counts with the interval of their rate."""

    counts: ErrorCounts
    interval: Interval | None = None
    resampled_by: ResampledBy | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record C of results.json."""
        return {
            "n": self.counts.reference_length,
            "hit": self.counts.hits,
            "sub": self.counts.substitutions,
            "del": self.counts.deletions,
            "ins": self.counts.insertions,
            "rate": self.counts.rate,
            "ci95": None if self.interval is None else list(self.interval),
            "resampled_by": self.resampled_by,
        }


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

    def to_json(self) -> dict[str, Any]:
        """Return one entry of "utterances" in results.json."""
        return {
            "id": self.id,
            "speaker": self.speaker,
            "ref": self.reference,
            "hyp": self.hypothesis,
            "word": ErrorRate(self.word).to_json(),
            "char": ErrorRate(self.char).to_json(),
        }


@dataclass(frozen=True, slots=True)
class Results:
    """What results.json holds, and the ids of references without text, which it does not.

    Attributes:
        raw: under the default text rules.
        normalised: under `rules`.
        rules: names of the text rules of `normalised`, in order.
        utterances: every reference with text, in order, with raw text.
        failed: id and reason of each that has no output.
        unlabelled: ids of the references without text.
        provenance: where the results come from.
    """

    raw: Score
    normalised: Score
    rules: tuple[str, ...]
    utterances: tuple[ScoredUtterance, ...]
    failed: tuple[tuple[str, str], ...]
    unlabelled: tuple[str, ...]
    provenance: Provenance = Provenance()

    @property
    def partial(self) -> bool:
        """Whether some output is missing."""
        return bool(self.failed)

    def to_json(self) -> dict[str, Any]:
        """Return results.json; `total` items have text, `scored` ones have output as well."""
        made = self.provenance
        return {
            "schema": 1,
            "command": made.command,
            "commit": made.commit,
            "versions": dict(made.versions),
            "model": None if made.model is None else dict(made.model),
            "decoder": None if made.decoder is None else dict(made.decoder),
            "reference_sha256": made.reference_sha256,
            "rules": list(self.rules),
            "raw": self.raw.to_json(),
            "normalised": self.normalised.to_json(),
            "items": {
                "total": len(self.utterances),
                "scored": len(self.utterances) - len(self.failed),
                "failed": [{"id": item, "reason": reason} for item, reason in self.failed],
            },
            "partial": self.partial,
            "rtf": made.rtf,
            "utterances": [utterance.to_json() for utterance in self.utterances],
        }


def score_utterances(
    references: Sequence[Reference],
    hypotheses: Mapping[str, str | Failed],
    *,
    rules: Sequence[str] = DEFAULT_RULES,
    seed: int = 0,
    provenance: Provenance = Provenance(),
) -> Results:
    """Score hypotheses against references, paired by id.

    Args:
        references: what was said; those without text are left out.
        hypotheses: the output, or why there is none, by id.
        rules: names of the text rules of the normalised score.
        seed: of the bootstrap intervals.
        provenance: where the results come from.

    Raises:
        ScoringError: an id given twice, or a hypothesis that belongs to no reference.
        ConfigError: a text rule that does not exist.
    """
    _check_ids([reference.id for reference in references], hypotheses)
    labelled = [reference for reference in references if reference.text is not None]
    outputs = [hypotheses.get(item.id, Failed("no hypothesis")) for item in labelled]
    raw = _score_each(labelled, outputs, rules=DEFAULT_RULES)
    return Results(
        raw=_summarise(raw, seed=seed),
        normalised=_summarise(_score_each(labelled, outputs, rules=rules), seed=seed),
        rules=tuple(rules),
        utterances=tuple(raw),
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


def _score_each(
    references: Sequence[Reference], outputs: Sequence[str | Failed], *, rules: Sequence[str]
) -> list[ScoredUtterance]:
    scored = []
    for reference, output in zip(references, outputs, strict=True):
        said = apply_rules(reference.text or "", rules)
        recognised = "" if isinstance(output, Failed) else apply_rules(output, rules)
        scored.append(
            ScoredUtterance(
                id=reference.id,
                speaker=reference.speaker,
                reference=said,
                hypothesis=recognised,
                word=count_errors(said.split(), recognised.split()),
                char=count_errors(said, recognised),
            )
        )
    return scored


def _summarise(utterances: Sequence[ScoredUtterance], *, seed: int) -> Score:
    groups, resampled_by = groups_to_resample(
        [item.id for item in utterances], [item.speaker for item in utterances]
    )

    def rate_of(counts: Sequence[ErrorCounts]) -> ErrorRate:
        interval = bootstrap_interval(
            [count.errors for count in counts],
            [count.reference_length for count in counts],
            groups,
            seed=seed,
        )
        total = sum(counts, start=ErrorCounts())
        return ErrorRate(total, interval, None if interval is None else resampled_by)

    wrong = [item.reference != item.hypothesis for item in utterances]
    return Score(
        word=rate_of([item.word for item in utterances]),
        char=rate_of([item.char for item in utterances]),
        sentence=SentenceErrors(
            total=len(wrong),
            wrong=sum(wrong),
            interval=bootstrap_interval(wrong, [1] * len(wrong), groups, seed=seed),
        ),
    )
