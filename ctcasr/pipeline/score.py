"""Score: count the errors of one file against another, and write what was counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctcasr.files import write_text
from ctcasr.pipeline.evaluation_report import write_evaluation
from ctcasr.pipeline.provenance import command_line, commit, file_sha256, versions
from ctcasr.reporting.nist_export import NistFormat, Place, render_scored
from ctcasr.scoring import Costs, Provenance, Results, score_utterances
from ctcasr.scoring.analysis import analyse
from ctcasr.scoring.measured import Measured
from ctcasr.scoring.pairing import PairedItems, pair_items
from ctcasr.scoring.significance import BY_SPEAKER
from ctcasr.text_rules import DEFAULT_RULES
from ctcasr.transcript import TimedWord


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """How errors are counted.

    Attributes:
        rules: text rules of the normalised score.
        costs: of the alignments in which errors are counted.
        cluster: the field whose values say which utterances the intervals draw together.
    """

    rules: Sequence[str] = DEFAULT_RULES
    costs: Costs = Costs.LEVENSHTEIN
    cluster: str = BY_SPEAKER


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of one file against another, and what can be said about their times.

    Attributes:
        results: the scores.
        places: where utterances lie in their recordings, by id, as far as a file says it.
        words: of the outputs, with their times, by id.
    """

    results: Results
    places: Mapping[str, Place]
    words: Mapping[str, Sequence[TimedWord]]


def score_files(
    reference: Path, hypothesis: Path, *, options: ScoreOptions = ScoreOptions()
) -> Scored:
    """Score a file of hypotheses against a file of references.

    Args:
        reference: what was said; see `ctcasr.scoring.readers` for the formats.
        hypothesis: what was recognised.
        options: how to count.

    Raises:
        ScoringError: the files cannot be read, or do not belong together.
        ConfigError: a text rule that does not exist.
    """
    paired = pair_items(reference, hypothesis)
    places = _places(paired)
    results = score_utterances(
        paired.references(),
        paired.outputs(),
        rules=options.rules,
        costs=options.costs,
        cluster=options.cluster,
        measured={
            name: Measured(duration=place.end - place.start) for name, place in places.items()
        },
        provenance=Provenance(
            command=command_line(),
            commit=commit(),
            versions=versions(),
            reference_sha256=file_sha256(reference) if reference.is_file() else None,
        ),
    )
    return Scored(results, places, {item.id or "": item.words for item in paired.heard})


def write_results(out: Path, results: Results) -> None:
    """Write results.json, report.md and report.html into a folder.

    Raises:
        OutputError: they cannot be written.
    """
    write_evaluation(out, results, analyse(results))


def export(out: Path, scored: Scored, formats: Sequence[NistFormat]) -> tuple[str, ...]:
    """Write references and outputs as NIST's files; return notes on what is missing from them.

    Raises:
        OutputError: they cannot be written.
    """
    files = render_scored(scored.results, places=scored.places, words=scored.words, formats=formats)
    for name, text in files.texts.items():
        write_text(out / name, text)
    return files.notes


def _places(paired: PairedItems) -> dict[str, Place]:
    """Return where utterances lie: as the reference has it or, if it is silent, the output."""
    return {
        item.id or "": Place(item.start, item.end, item.channel)
        for item in (*paired.heard, *paired.said)
        if item.start is not None and item.end is not None
    }
