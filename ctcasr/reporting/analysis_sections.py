"""What an analysis found, as sections of a Markdown report."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ctcasr.reporting.tables import NOTHING, render_rate, render_table, visible

_MOST_CONFUSED = 20
_MOST_APART = 20


def render_analysis(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the sections that a record of results.json has an analysis for."""
    analysis = record.get("analysis") or {}
    yield from _parts_of_the_set(analysis.get("breakdowns", ()))
    yield from _confusions(analysis.get("confusions"))
    yield from _unseen(analysis.get("unseen"), record["normalised"]["word"]["n"])
    yield from _search(analysis.get("search"))
    yield from _confidence(analysis.get("calibration"), record.get("confidence_kind"))
    yield from _disagreement(analysis.get("disagreement"))


def _parts_of_the_set(breakdowns: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for breakdown in breakdowns:
        yield f"## By {breakdown['field']}\n"
        rows = [
            [
                part["label"],
                f"{part['utterances']:,}",
                f"{part['word']['n']:,}",
                render_rate(part["word"]),
                render_rate(part["char"]),
            ]
            for part in breakdown["parts"]
        ]
        header = [breakdown["field"], "utterances", "words", "WER %", "CER %"]
        yield render_table(header, rows, numeric=[False, *[True] * 4])
        if breakdown["without"]:
            yield f"{breakdown['without']:,} utterances have none.\n"


def _confusions(confusions: Mapping[str, Any] | None) -> Iterator[str]:
    for unit, title in (("word", "Words"), ("char", "Characters")) if confusions else ():
        kinds = confusions[unit] if confusions else {}
        if not any(kinds.values()):
            continue
        yield f"## {title} most often wrong\n"
        rows = [[row["said"], row["heard"], row["n"], row["of"]] for row in kinds["substitutions"]]
        rows += [[row["said"], NOTHING, row["n"], row["of"]] for row in kinds["deletions"]]
        rows += [[NOTHING, row["heard"], row["n"], ""] for row in kinds["insertions"]]
        rows.sort(key=lambda row: -row[2])
        yield render_table(
            ["said", "written", "times", "of"],
            [[visible(str(cell)) for cell in row] for row in rows[:_MOST_CONFUSED]],
            numeric=[False, False, True, True],
        )


def _unseen(unseen: Mapping[str, Any] | None, num_words: int) -> Iterator[str]:
    if unseen and unseen["said"]:
        yield "## Words never seen in training\n"
        yield (
            f"{unseen['said']:,} of {num_words:,} words; {unseen['right']:,} of them recognised "
            f"({100 * unseen['right'] / unseen['said']:.1f} %).\n"
        )


def _search(search: Mapping[str, Any] | None) -> Iterator[str]:
    if not search:
        return
    yield "## Search error or model error\n"
    rows = [
        ["wrong outputs", f"{search['wrong']:,} of {search['outputs']:,}"],
        ["the model prefers the output", f"{search['model']:,}"],
        ["the model prefers the reference, the search missed it", f"{search['search']:,}"],
        ["the model cannot write the reference", f"{search['unwritable']:,}"],
    ]
    if search["proven"] is not None:
        rows.append(["outputs proven best", f"{search['proven']:,} of {search['outputs']:,}"])
    if search["changed_by_wider"] is not None:
        rows.append(["outputs that a wider search changes", f"{search['changed_by_wider']:,}"])
        if search["wer"] is not None:
            wider, narrow = 100 * search["wider_wer"], 100 * search["wer"]
            rows.append(["WER % of a wider search, and of this", f"{wider:.2f}, {narrow:.2f}"])
    yield render_table(["what", "how many"], rows, numeric=[False, True])


def _confidence(calibration: Mapping[str, Any] | None, kind: str | None) -> Iterator[str]:
    if not calibration:
        return
    yield f"## Confidence ({kind or 'posterior'})\n"
    yield (
        f"{calibration['words']:,} words: mean confidence {100 * calibration['confidence']:.1f} %, "
        f"{100 * calibration['right']:.1f} % right; expected calibration error "
        f"{100 * calibration['expected_calibration_error']:.1f} %.\n"
    )
    rows = [
        [f"{one['words']:,}", f"{100 * one['confidence']:.1f}", f"{100 * one['right']:.1f}"]
        for one in calibration["bins"]
    ]
    yield render_table(["words", "mean confidence %", "right %"], rows, numeric=[True] * 3)


def _disagreement(found: Mapping[str, Any] | None) -> Iterator[str]:
    if not found:
        return
    yield "## Where CTC and attention disagree\n"
    yield describe_disagreement(found) + "\n"
    shown = found["utterances"][:_MOST_APART]
    if shown:
        rows = [
            [
                one["id"],
                visible(one["ctc"]),
                visible(one["attention"]),
                f"{100 * one['disagreement']:.0f}",
            ]
            for one in shown
        ]
        header = ["utterance", "CTC", "attention", "disagreement %"]
        yield render_table(header, rows, numeric=[False, False, False, True])
    if len(found["utterances"]) > len(shown):
        yield f"{len(found['utterances']) - len(shown):,} more are in results.json.\n"


def describe_disagreement(found: Mapping[str, Any]) -> str:
    """Return what disagreement says of errors, in words."""
    alike = found["outputs"] - found["differing"]
    wrong_alike = found["wrong"] - found["wrong_differing"]
    said = (
        f"They differ about {found['differing']:,} of {found['outputs']:,} outputs, of which "
        f"{found['wrong_differing']:,} are wrong; of the other {alike:,} it is {wrong_alike:,}."
    )
    areas = [
        f"{what} {found[kind]['area']:.3f}"
        for kind, what in (("roc", "disagreement"), ("confidence_roc", "confidence"))
        if found[kind]
    ]
    if areas:
        said += f" Area under the ROC curve, as a sign of wrong outputs: {', '.join(areas)}."
    if found["loops"]:
        names = ", ".join(found["loops"][:_MOST_APART])
        said += f" Attention writes far more than CTC, as if in circles: {names}."
    return said
