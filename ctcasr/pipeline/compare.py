"""Compare: systems that were scored on the same test set, from their results.json.

Texts are taken from the files, and errors counted in them again, so that all systems are counted
alike.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ctcasr.errors import ScoringError
from ctcasr.files import write_text
from ctcasr.pipeline.evaluation_report import read_results
from ctcasr.pipeline.provenance import command_line, commit, versions
from ctcasr.reporting.comparison import render_comparison
from ctcasr.reporting.html.comparison import render_comparison_page
from ctcasr.scoring.alignment import Costs
from ctcasr.scoring.comparison import System, compare_systems
from ctcasr.scoring.rates import Clusters, clusters_of
from ctcasr.scoring.results import name_some
from ctcasr.scoring.significance import BY_SPEAKER
from ctcasr.text_rules import DEFAULT_RULES, apply_rules_to_pair


@dataclass(frozen=True, slots=True)
class _Text:
    """One utterance of a results.json: what was said and recognised, and what else is known."""

    reference: str
    output: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """What is needed of a results.json; texts by id, in the file's order."""

    folder: Path
    texts: Mapping[str, _Text]
    rules: tuple[str, ...]
    costs: Costs
    failed: tuple[str, ...]
    origin: Mapping[str, Any]


def compare_folders(
    folders: Sequence[Path],
    *,
    out: Path | None = None,
    cluster: str = BY_SPEAKER,
    normalised: bool = False,
) -> dict[str, Any]:
    """Compare evaluations of one test set; the first is the baseline.

    Args:
        folders: two or more, each with a results.json.
        out: folder for comparison.json, .md and .html; nothing is written where not given.
        cluster: what the bootstrap draws: "speaker", or another field of the utterances.
        normalised: compare under the text rules that the files name, not as it was written.

    Returns:
        What comparison.json holds.

    Raises:
        ScoringError: a folder without results, or results that cannot be compared: other
            utterances, references, text rules or costs.
        OutputError: the comparison cannot be written.
    """
    _require_several(folders)
    evaluations = [_read_evaluation(folder) for folder in folders]
    baseline = evaluations[0]
    for other in evaluations[1:]:
        _require_comparable(baseline, other)
    rules = baseline.rules if normalised else DEFAULT_RULES
    ids = list(baseline.texts)
    references: list[str] = []
    systems = []
    for evaluation, name in zip(evaluations, name_folders(folders), strict=True):
        texts = [evaluation.texts[item] for item in ids]
        pairs = [(text.reference, text.output) for text in texts]
        if normalised:
            pairs = [apply_rules_to_pair(*pair, rules) for pair in pairs]
        references = [said for said, _ in pairs]
        systems.append(System(name, [heard for _, heard in pairs], evaluation.failed))
    comparison = compare_systems(
        ids, references, systems, _find_clusters(evaluations, cluster), costs=baseline.costs
    )
    record = comparison.to_json() | {
        "command": command_line(),
        "commit": commit(),
        "versions": versions(),
        "text": "normalised" if normalised else "raw",
        "rules": list(rules),
    }
    for system, evaluation in zip(record["systems"], evaluations, strict=True):
        system |= {"folder": str(evaluation.folder), **evaluation.origin}
    if out is not None:
        _write(out, record)
    return record


def name_folders(folders: Sequence[Path]) -> list[str]:
    """Return short names that tell folders apart: their paths without what all have in common."""
    parts = [list(folder.resolve().parts) for folder in folders]
    shared = _count_shared(parts)
    heads = [path[shared:] for path in parts]
    tail = _count_shared([path[::-1] for path in heads])
    names = ["/".join(path[: len(path) - tail]) for path in heads]
    if all(names):
        return names
    return ["/".join(path[max(shared - 1, 1) :]) for path in parts]  # one lies inside another


def _count_shared(paths: Sequence[Sequence[str]]) -> int:
    count = 0
    for parts in zip_longest(*paths):
        if len(set(parts)) > 1:
            break
        count += 1
    return count


def _require_several(folders: Sequence[Path]) -> None:
    if len(folders) < 2:
        raise ScoringError(
            f"{len(folders)} folder given; a comparison needs two at least, the baseline first"
        )
    known: set[Path] = set()
    for folder in folders:
        if folder.resolve() in known:
            raise ScoringError(f"{folder}: given twice; compare a system with another one")
        known.add(folder.resolve())


def _read_evaluation(folder: Path) -> _Evaluation:
    record = read_results(folder)
    try:
        return _parse_evaluation(folder, record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ScoringError(
            f"{folder / 'results.json'}: damaged ({type(error).__name__}: {error}); evaluate or "
            f"score again"
        ) from error


def _parse_evaluation(folder: Path, record: Mapping[str, Any]) -> _Evaluation:
    texts: dict[str, _Text] = {}
    for item in record["utterances"]:
        if item["id"] in texts:
            raise ValueError(f"id {item['id']!r} given twice")
        fields = {**(item.get("fields") or {}), BY_SPEAKER: item["speaker"]}
        texts[item["id"]] = _Text(item["ref"], item["hyp"], fields)
    return _Evaluation(
        folder=folder,
        texts=texts,
        rules=tuple(record["rules"]),
        costs=Costs(record.get("costs", Costs.LEVENSHTEIN)),
        failed=tuple(item["id"] for item in record["items"]["failed"]),
        origin={key: record.get(key) for key in ("model", "decoder", "rtf")},
    )


def _require_comparable(baseline: _Evaluation, other: _Evaluation) -> None:
    first, second = baseline.folder, other.folder
    for here, there in ((baseline, other), (other, baseline)):
        missing = [item for item in here.texts if item not in there.texts]
        if missing:
            raise ScoringError(
                f"{here.folder} has {len(missing)} utterances that {there.folder} has not: "
                f"{name_some(missing)}; score both systems on the same test set"
            )
    changed = [
        item
        for item, text in baseline.texts.items()
        if text.reference != other.texts[item].reference
    ]
    if changed:
        one, two = (part.texts[changed[0]].reference for part in (baseline, other))
        raise ScoringError(
            f"{first} and {second} have different references for {len(changed)} of "
            f"{len(baseline.texts)} utterances: {name_some(changed)}; {changed[0]!r} is {one!r} "
            f"and {two!r}; score both systems against the same references"
        )
    if baseline.rules != other.rules:
        raise ScoringError(
            f"{first} was scored with the text rules {','.join(baseline.rules)}, {second} with "
            f"{','.join(other.rules)}; score one of them again with the rules of the other"
        )
    if baseline.costs is not other.costs:
        raise ScoringError(
            f"{first} was aligned with {baseline.costs} costs, {second} with {other.costs}; score "
            f"one of them again with --costs {baseline.costs}"
        )


def _find_clusters(evaluations: Sequence[_Evaluation], field: str) -> Clusters:
    """Return what to draw; a value that one file lacks is taken from another."""
    values: list[str | None] = []
    for item in evaluations[0].texts:
        known = (evaluation.texts[item].fields.get(field) for evaluation in evaluations)
        value = next((value for value in known if value is not None), None)
        values.append(None if value is None else str(value))
    if field != BY_SPEAKER and not any(value is not None for value in values):
        fields = {name for text in evaluations[0].texts.values() for name in text.fields}
        raise ScoringError(
            f"--cluster {field}: no utterance has this field; choose from: "
            f"{', '.join(sorted(fields | {BY_SPEAKER}))}"
        )
    return clusters_of(list(evaluations[0].texts), values, field)


def _write(out: Path, record: Mapping[str, Any]) -> None:
    content = json.dumps(record, ensure_ascii=False, indent=1)
    write_text(out / "comparison.json", content + "\n")
    write_text(out / "comparison.md", render_comparison(record))
    write_text(out / "comparison.html", render_comparison_page(record))
