"""Scores as Markdown that also reads well as plain text.

Pure functions from results to text: equal results give equal bytes. They take what results.json
holds, as `Results` or as the file's parsed content, so that a report can be written again later.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len

from ctcasr.reporting.analysis_sections import render_analysis
from ctcasr.reporting.origin import notes_on, origin_of
from ctcasr.reporting.tables import NOTHING, pad, render_rate, render_table
from ctcasr.scoring import Results, align_tokens

ResultsLike = Results | Mapping[str, Any]

_WORST = 10  # utterances shown
_LINE = 96  # terminal columns of aligned text


def render_error_table(results_by_name: Mapping[str, ResultsLike]) -> str:
    """Return one table row per test set, and a second where normalised text scores differently.

    Rates are in per cent, with their 95 % interval in brackets. A set with items that could not be
    decoded is marked [PARTIAL], and a line under the table says how many.
    """
    rows: list[list[str]] = []
    notes = ""
    for name, given in results_by_name.items():
        results = _as_json(given)
        mark = "[PARTIAL] " if results["partial"] else ""
        rows.append(_score_row(mark + name, results["raw"]))
        if results["normalised"] != results["raw"]:
            rows.append(_score_row(f"{mark}{name}, normalised", results["normalised"]))
            notes += f"\n{_one_line(name)}, normalised: {', '.join(results['rules'])}.\n"
        if results["partial"]:
            notes += f"\n{_partial_line(_one_line(name), results['items'])}"
    header = ["set", "words", "sub", "del", "ins", "WER %", "CER %", "sentences wrong"]
    return render_table(header, rows, numeric=[False, *[True] * 7]) + notes


def render_report(results: ResultsLike, *, name: str) -> str:
    """Return the report on one test set: rates, failures, parts, confusions, worst, origin.

    Args:
        results: what results.json holds.
        name: of the test set.
    """
    record = _as_json(results)
    parts = [
        _headline(record, name),
        render_error_table({name: record}),
        _explanation(record),
        *_label_errors("Labels of whole recordings", "recordings", record.get("label")),
        *_label_errors("Labels of frames", "frames", record.get("frames")),
        *_failures(record["items"]["failed"]),
        *_left_out(record["items"].get("unlabelled", ())),
        *render_analysis(record),
        *_worst_utterances(record["utterances"]),
        *_origin(record),
    ]
    return "\n".join(parts)


def _as_json(results: ResultsLike) -> Mapping[str, Any]:
    return results.to_json() if isinstance(results, Results) else results


def _score_row(name: str, score: Mapping[str, Any]) -> list[str]:
    word, sentence = score["word"], score["sentence"]
    return [
        name,
        f"{word['n']:,}",
        f"{word['sub']:,}",
        f"{word['del']:,}",
        f"{word['ins']:,}",
        render_rate(word),
        render_rate(score["char"]),
        f"{sentence['wrong']:,} of {sentence['n']:,}",
    ]


def _headline(record: Mapping[str, Any], name: str) -> str:
    mark = "[PARTIAL] " if record["partial"] else ""
    raw = record["raw"]
    return f"# {mark}{_one_line(name)}: WER {_percent(raw['word'])}, CER {_percent(raw['char'])}\n"


def _percent(record: Mapping[str, Any]) -> str:
    return "n/a" if record["rate"] is None else f"{100 * record['rate']:.2f} %"


def _partial_line(name: str, items: Mapping[str, Any]) -> str:
    return (
        f"[PARTIAL] {name}: {len(items['failed'])} of {items['total']} items could not be decoded "
        f"and count as empty output.\n"
    )


def _explanation(record: Mapping[str, Any]) -> str:
    by = record["raw"]["word"]["resampled_by"]
    intervals = f"In brackets: 95 % bootstrap interval, drawing whole {by}s. " if by else ""
    return "\n\n".join([f"{intervals}CER counts spaces.", *notes_on(record)]) + "\n"


def render_label_errors(results: ResultsLike) -> str:
    """Return a line about the labels of whole recordings and of frames each, where there are."""
    record = _as_json(results)
    kinds = [(record.get("label"), "recordings"), (record.get("frames"), "frames")]
    return "".join(_label_line(label, what) for label, what in kinds if label is not None)


def _label_line(label: Mapping[str, Any], what: str) -> str:
    return (
        f"{label['field']}: {label['wrong']:,} of {label['n']:,} {what} wrong, "
        f"{render_rate(label)} %\n"
    )


def _label_errors(title: str, what: str, label: Mapping[str, Any] | None) -> Iterator[str]:
    if label is None:
        return
    yield f"## {title}\n"
    yield _label_line(label, what)
    if label["confusions"]:
        rows = [
            [right or NOTHING, given or NOTHING, str(count)]
            for right, given, count in label["confusions"][:_WORST]
        ]
        yield render_table(
            [label["field"], "taken for", "times"], rows, numeric=[False, False, True]
        )


def _failures(failed: Sequence[Mapping[str, str]]) -> Iterator[str]:
    if failed:
        yield "## Items that could not be decoded\n"
        yield render_table(["item", "reason"], [[item["id"], item["reason"]] for item in failed])


def _left_out(unlabelled: Sequence[str]) -> Iterator[str]:
    if unlabelled:
        yield f"## Left out: {len(unlabelled):,} without reference text\n"
        yield render_table(["item"], [[item] for item in unlabelled])


def _worst_utterances(utterances: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the utterances with the most wrong words, and how they align word by word."""
    wrong = [item for item in utterances if _errors(item["word"])]
    worst = sorted(wrong, key=lambda item: (-_errors(item["word"]), item["word"]["n"], item["id"]))
    worst = worst[:_WORST]
    if not worst:
        return
    yield "## Worst utterances\n"
    rows = [
        [item["id"], str(_errors(item["word"])), str(item["word"]["n"]), _percent(item["word"])]
        for item in worst
    ]
    yield render_table(
        ["utterance", "wrong", "words", "WER"], rows, numeric=[False, True, True, True]
    )
    aligned = (f"{_one_line(item['id'])}\n{_aligned(item['ref'], item['hyp'])}" for item in worst)
    yield "```text\n" + "\n".join(aligned) + "```\n"


def _errors(record: Mapping[str, Any]) -> int:
    return int(record["sub"] + record["del"] + record["ins"])


def _aligned(reference: str, hypothesis: str) -> str:
    """Return reference, hypothesis and marks (S, D, I) under one another, broken to fit a line."""
    blocks: list[list[str]] = [["  ref", "  hyp", "     "]]
    for said, recognised in align_tokens(reference.split(), hypothesis.split()):
        column = [said or NOTHING, recognised or NOTHING, _mark(said, recognised)]
        width = max(map(cell_len, column))
        if cell_len(blocks[-1][0]) + 1 + width > _LINE:
            blocks.append(["  ref", "  hyp", "     "])
        blocks[-1] = [
            f"{line} {pad(cell, width)}" for line, cell in zip(blocks[-1], column, strict=True)
        ]
    return "".join(f"{line.rstrip()}\n" for block in blocks for line in block if line.strip())


def _mark(said: str | None, recognised: str | None) -> str:
    if said is None:
        return "I"
    if recognised is None:
        return "D"
    return "" if said == recognised else "S"


def _origin(record: Mapping[str, Any]) -> Iterator[str]:
    rows = [[fact, value] for fact, value in origin_of(record)]
    if rows:
        yield "## How it was made\n"
        yield render_table(["what", "value"], rows)


def _one_line(text: str) -> str:
    return " ".join(text.split())
