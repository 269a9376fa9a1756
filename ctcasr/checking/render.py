"""A check's report as text for a terminal, and as the files of `-o DIR`.

Pure functions but for the writer: equal reports give equal bytes.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ctcasr.checking.findings import CheckReport, Finding, Kind, SetSummary, Severity, counted
from ctcasr.files import write_text

_EXAMPLES = 3
_HEADINGS = {
    Severity.FATAL: "FATAL: left out of training, or a score would mean nothing",
    Severity.WARNING: "WARNINGS: worth a look",
    Severity.NOTE: "NOTES",
}


def render_report(report: CheckReport, *, examples: int = _EXAMPLES) -> str:
    """Return the report for a terminal: every kind with its count, first examples, next step."""
    lines = [_describe_set(summary) for summary in report.sets]
    for severity, heading in _HEADINGS.items():
        groups = {k: fs for k, fs in report.by_kind().items() if k.severity is severity}
        if groups:
            lines += ["", heading]
        for kind, findings in groups.items():
            lines.append(f"  {kind}{_count(findings)}")
            lines += [f"    {finding.message}" for finding in findings[:examples]]
            if len(findings) > examples:
                lines.append(f"    and {len(findings) - examples:,} more")
            lines.append(f"    -> {kind.next_step}")
    return "\n".join([*lines, "", _verdict(report)]) + "\n"


def render_markdown(report: CheckReport) -> str:
    """Return the report with every finding, for reading beside the manifest."""
    lines = ["# Check", "", _verdict(report), "", *_set_table(report.sets)]
    for severity, heading in _HEADINGS.items():
        groups = {k: fs for k, fs in report.by_kind().items() if k.severity is severity}
        if groups:
            lines += ["", f"## {heading}"]
        for kind, findings in groups.items():
            lines += [
                "",
                f"### {_title(kind)}{_count(findings)}",
                "",
                f"Next: {kind.next_step}.",
                "",
            ]
            lines += [f"- {_escaped(finding.message)}" for finding in findings]
    return "\n".join(lines) + "\n"


def write_report(report: CheckReport, folder: Path) -> None:
    """Write check.json (all findings) and check.md into `folder`.

    Raises:
        OutputError: the folder cannot be written.
    """
    text = json.dumps(report.to_json(), ensure_ascii=False, indent=1)
    write_text(folder / "check.json", text + "\n")
    write_text(folder / "check.md", render_markdown(report))


def _describe_set(summary: SetSummary) -> str:
    parts = [counted(summary.items, "utterance"), _amount(summary)]
    if summary.speakers:
        parts.append(counted(summary.speakers, "speaker"))
    if summary.rates:
        parts.append(", ".join(str(rate) for rate in summary.rates) + " Hz")
    return f"{summary.name}: {'; '.join(parts)}"


def _amount(summary: SetSummary) -> str:
    amount = _measure(summary)
    return amount if summary.read == summary.items else f"{amount} in the {summary.read:,} read"


def _measure(summary: SetSummary) -> str:
    if summary.unit == "s":
        return f"{summary.amount / 60:.1f} min"
    return f"{summary.amount:,.0f} {'points' if summary.unit == 'point' else summary.unit}"


def _count(findings: Sequence[Finding]) -> str:
    """Return ": N utterances", or nothing where the finding is about no single one."""
    items = len({(finding.sets[-1], item) for finding in findings for item in finding.items})
    return f": {counted(items, 'utterance')}" if items else ""


def _verdict(report: CheckReport) -> str:
    if not report.findings:
        return f"Nothing wrong found in {counted(report.items, 'utterance')}."
    warnings, notes = counted(len(report.warnings), "warning"), counted(len(report.notes), "note")
    return f"Found: {len(report.fatal):,} fatal, {warnings}, {notes}."


def _set_table(sets: Sequence[SetSummary]) -> Iterator[str]:
    yield "| set | utterances | read | amount | speakers | Hz |"
    yield "| --- | ---: | ---: | ---: | ---: | --- |"
    for s in sets:
        rates = ", ".join(str(rate) for rate in s.rates)
        yield (
            f"| {_escaped(s.name)} | {s.items:,} | {s.read:,} | {_measure(s)} "
            f"| {s.speakers:,} | {rates} |"
        )


def _title(kind: Kind) -> str:
    return kind.value[:1].upper() + kind.value[1:]


def _escaped(text: str) -> str:
    for char in "\\`*_[]<>|#":
        text = text.replace(char, f"\\{char}")
    return text
