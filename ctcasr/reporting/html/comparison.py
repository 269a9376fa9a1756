"""A comparison of systems as one page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ctcasr.reporting.comparison import (
    Finding,
    Row,
    align_both,
    balance_of,
    findings_of,
    notes_on,
    title_of,
    write_p,
)
from ctcasr.reporting.html.page import render_page
from ctcasr.reporting.tables import in_words
from ctcasr.scoring.alignment import Costs

_WIDTH, _HEIGHT = 220, 22  # of a drawn interval
_DOT = 4.5


@dataclass(frozen=True, slots=True)
class _ShownUtterance:
    """An utterance in which two systems differ, word by word."""

    id: str
    baseline_errors: int
    errors: int
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class _ShownPair:
    """One system against the baseline, ready to be written."""

    baseline: str
    system: str
    findings: Sequence[Finding]
    drawings: Mapping[str, Markup]
    balance: str
    better: Sequence[_ShownUtterance]
    worse: Sequence[_ShownUtterance]


def render_comparison_page(record: Mapping[str, Any]) -> str:
    """Return the whole comparison as a page.

    Args:
        record: what comparison.json holds.
    """
    return render_page(
        "comparison.html.j2",
        title=title_of(record),
        record=record,
        notes=notes_on(record),
        pairs=[_show(pair, record) for pair in record["comparisons"]],
        write_p=write_p,
        origin=_origin(record),
    )


def draw_interval(difference: float, interval: Sequence[float] | None, *, reach: float) -> Markup:
    """Return a difference as a dot with whiskers about a line at 0; its numbers stand beside it.

    Args:
        difference: a fraction.
        interval: its ends; None for none.
        reach: the value, above 0, that both ends of the drawing stand for.
    """

    def across(value: float) -> float:
        return _WIDTH / 2 * (1 + max(-1.0, min(1.0, value / reach)) * 0.94)

    middle = _HEIGHT / 2
    whisker = ""
    if interval is not None:
        low, high = map(across, interval)
        whisker = (
            f'<line class="whisker s0" x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}"/>'
        )
    return Markup(
        f'<svg class="interval-drawing" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true">'
        f'<line class="guide" x1="{_WIDTH / 2}" y1="0" x2="{_WIDTH / 2}" y2="{_HEIGHT}"/>'
        f'{whisker}<circle class="f0" cx="{across(difference):.1f}" cy="{middle}" r="{_DOT}"/>'
        "</svg>"
    )  # numbers only


def _show(pair: Mapping[str, Any], record: Mapping[str, Any]) -> _ShownPair:
    costs = Costs(record["costs"])
    findings = findings_of(pair, several=record["correction"] is not None)
    shown = [
        _ShownUtterance(
            id=item["id"],
            baseline_errors=item["baseline"]["errors"],
            errors=item["system"]["errors"],
            rows=align_both(
                item["ref"], item["baseline"]["hyp"], item["system"]["hyp"], costs=costs
            ),
        )
        for item in pair["utterances"]
    ]
    rates = [pair[unit] for unit in ("word", "char", "sentence")]
    known = [rate for rate in rates if rate["difference"] is not None]
    ends = [abs(end) for rate in known for end in (rate["difference"], *(rate["ci95"] or ()))]
    reach = max(ends, default=0.0) or 1.0
    return _ShownPair(
        baseline=pair["baseline"],
        system=pair["system"],
        findings=findings,
        drawings={
            finding.question: draw_interval(rate["difference"], rate["ci95"], reach=reach)
            for finding, rate in zip(findings, rates, strict=False)
            if rate["difference"] is not None
        },
        balance=balance_of(pair, record["utterances"]),
        better=[item for item in shown if item.errors < item.baseline_errors],
        worse=[item for item in shown if item.errors > item.baseline_errors],
    )


def _origin(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how the comparison and its systems came about, as far as it is known."""
    facts = [
        ("command", record["command"]),
        ("commit", record["commit"]),
        ("versions", in_words(record["versions"])),
    ]
    for system in record["systems"]:
        about = [
            system["folder"],
            in_words(system["model"] or {}),
            in_words(system["decoder"] or {}),
        ]
        facts.append((system["name"], "; ".join(filter(None, about))))
    return [(name, value) for name, value in facts if value]
