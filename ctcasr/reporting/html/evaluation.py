"""The page of an evaluation: what results.json holds, and some utterances drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

from ctcasr.reporting.analysis_sections import describe_disagreement
from ctcasr.reporting.html.charts import Axis, Bars, Diagonal, Dots, Line, render_chart
from ctcasr.reporting.html.examples import Examples
from ctcasr.reporting.html.page import render_page
from ctcasr.reporting.origin import notes_on, origin_of

_PARTS_SHOWN = 40
_CONFUSIONS_SHOWN = 25
_UNSEEN_SHOWN = 30
_APART_SHOWN = 40


def render_evaluation(
    record: Mapping[str, Any],
    *,
    name: str,
    examples: Sequence[Examples] = (),
    model_card: Mapping[str, str] | None = None,
) -> str:
    """Return the page. Pure: equal records give equal bytes.

    Args:
        record: what results.json holds.
        name: of the test set.
        examples: utterances to show.
        model_card: facts about the model, by name.
    """
    analysis = record.get("analysis") or {}
    mark = "[PARTIAL] " if record["partial"] else ""
    return render_page(
        "evaluation.html.j2",
        title=f"{mark}{name}",
        record=record,
        notes=notes_on(record),
        origin=origin_of(record),
        model_card=list((model_card or {}).items()),
        breakdowns=[_shorten(one) for one in analysis.get("breakdowns", [])],
        charts=_charts_of(analysis.get("breakdowns", [])),
        confusions=_cut(analysis.get("confusions")),
        unseen=_cut_unseen(analysis.get("unseen")),
        search=analysis.get("search"),
        calibration=analysis.get("calibration"),
        calibration_charts=_calibration_charts(analysis.get("calibration")),
        confidence_kind=record.get("confidence_kind"),
        disagreement=_disagreement(analysis.get("disagreement")),
        examples=examples,
    )


def _shorten(breakdown: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the parts with the most errors where there are too many to read."""
    parts = breakdown["parts"]
    if len(parts) <= _PARTS_SHOWN:
        return {**breakdown, "hidden": 0}
    errors = [part["word"]["sub"] + part["word"]["del"] + part["word"]["ins"] for part in parts]
    worst = sorted(range(len(parts)), key=lambda index: -errors[index])[:_PARTS_SHOWN]
    kept = [parts[index] for index in sorted(worst)]
    return {**breakdown, "parts": kept, "hidden": len(parts) - len(kept)}


def _charts_of(breakdowns: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """Return a chart of the word error rate for each field of numbers."""
    charts = []
    for breakdown in breakdowns:
        parts = [
            part
            for part in breakdown["parts"]
            if part["middle"] is not None and part["word"]["rate"] is not None
        ]
        if len(parts) < 2:
            continue
        points = [(part["middle"], part["word"]["rate"]) for part in parts]
        dots = Dots("", points, intervals=[part["word"]["ci95"] for part in parts], radius=4.5)
        title = f"word error rate against {breakdown['field']}"
        axes = (Axis(breakdown["field"]), Axis("word error rate", low=0.0, is_share=True))
        charts.append((breakdown["field"], render_chart(title, *axes, [dots])))
    return charts


def _calibration_charts(calibration: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if calibration is None:
        return {}
    points = [(one["confidence"], one["right"]) for one in calibration["bins"]]
    share = Axis("share of words that are right", low=0.0, high=1.0, is_share=True)
    confidence = Axis("confidence", low=0.0, high=1.0, is_share=True)
    edges = [0.0, *(one["high"] for one in calibration["bins"])]
    bars = [
        (low, high, one["right"])
        for low, high, one in zip(edges, edges[1:], calibration["bins"], strict=False)
        if high > low
    ]
    reliability = render_chart(
        "share of right words against confidence",
        confidence,
        share,
        [Diagonal(), Bars("", bars), Dots("", points, radius=4.5)],
    )
    coverage = render_chart(
        "word error rate against the share of words kept",
        Axis("share of words kept", low=0.0, high=1.0, is_share=True),
        Axis("word error rate among them", low=0.0, is_share=True),
        [Line("", [(one["kept"], one["wer"]) for one in calibration["coverage"]])],
    )
    return {"reliability": reliability, "coverage": coverage}


def _disagreement(found: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return what is said of it, the utterances shown, and its ROC curves."""
    if found is None:
        return None
    lines = [
        Line(what, [(point["right"], point["wrong"]) for point in found[kind]["points"]])
        for kind, what in (("roc", "disagreement"), ("confidence_roc", "1 - confidence"))
        if found[kind]
    ]
    right, wrong = (
        Axis(f"share of {which} outputs above the threshold", low=0.0, high=1.0, is_share=True)
        for which in ("right", "wrong")
    )
    title = "wrong outputs found against right ones suspected"
    return {
        "said": describe_disagreement(found),
        "utterances": found["utterances"][:_APART_SHOWN],
        "chart": render_chart(title, right, wrong, [Diagonal(), *lines]) if lines else "",
    }


def _cut(confusions: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Keep as many of each kind as a reader will read."""
    if confusions is None:
        return None
    return {
        unit: {kind: rows[:_CONFUSIONS_SHOWN] for kind, rows in kinds.items()}
        for unit, kinds in confusions.items()
    }


def _cut_unseen(unseen: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return None if unseen is None else {**unseen, "words": unseen["words"][:_UNSEEN_SHOWN]}
