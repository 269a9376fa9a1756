"""A comparison of systems as Markdown that also reads well in a terminal, and in plain words.

Pure functions from what comparison.json holds to text: equal comparisons give equal bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len

from ctcasr.reporting.origin import FEW_CLUSTERS
from ctcasr.reporting.tables import pad, render_table
from ctcasr.scoring.alignment import Costs, align_tokens
from ctcasr.scoring.significance import BY_UTTERANCE

Row = tuple[str | None, str | None, str | None]
"""What was said, what the baseline made of it, and what the other system did."""

_LEVEL = 0.05
_LINE = 96  # terminal columns of aligned text
_NOTHING = "***"  # stands where a word is missing, as sclite users expect


@dataclass(frozen=True, slots=True)
class Finding:
    """What one test says of two systems.

    Attributes:
        question: what was counted.
        result: in numbers.
        p_value: after correction, where several systems are compared.
        conclusion: in plain words.
    """

    question: str
    result: str
    p_value: float | None
    conclusion: str


def render_comparison(record: Mapping[str, Any]) -> str:
    """Return the whole comparison.

    Args:
        record: what comparison.json holds.
    """
    parts = [
        f"# {title_of(record)}\n",
        render_table(
            ["system", "words", "sub", "del", "ins", "WER %", "CER %", "sentences wrong %"],
            [_system_row(system) for system in record["systems"]],
            numeric=[False, *[True] * 7],
        ),
        "".join(f"{note}\n" for note in notes_on(record)),
    ]
    for pair in record["comparisons"]:
        parts.append(f"## {pair['system']} against {pair['baseline']}\n")
        parts.append(
            render_table(
                ["what", "difference", "p", "in plain words"],
                [
                    [one.question, one.result, write_p(one.p_value), one.conclusion]
                    for one in findings_of(pair, several=record["correction"] is not None)
                ],
                numeric=[False, False, True, False],
            )
        )
        parts.append(f"{balance_of(pair, record['utterances'])}\n")
        parts += _differing_utterances(pair, Costs(record["costs"]))
    return "\n".join(parts)


def title_of(record: Mapping[str, Any]) -> str:
    """Return "[PARTIAL] b against a", or how many systems are compared with a."""
    baseline, *others = [system["name"] for system in record["systems"]]
    mark = "[PARTIAL] " if any(system["failed"] for system in record["systems"]) else ""
    who = others[0] if len(others) == 1 else f"{len(others)} systems"
    return f"{mark}{who} against {baseline}"


def notes_on(record: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know to trust the numbers, one sentence or two each."""
    drawn, count = record["clusters"]["by"], record["clusters"]["n"]
    text = (
        "Text as it was written"
        if record["text"] == "raw"
        else f"Text under the rules {', '.join(record['rules'])}"
    )
    notes = [f"{text}; {record['utterances']:,} utterances; costs: {record['costs']}."]
    notes += [
        f"[PARTIAL] {system['name']}: {len(system['failed'])} of {record['utterances']} items "
        f"could not be decoded and count as empty output."
        for system in record["systems"]
        if system["failed"]
    ]
    if record["empty_references"]:
        notes.append(
            f"Empty references: {record['empty_references']}; what was recognised there counts as "
            f"added."
        )
    if drawn == BY_UTTERANCE:
        notes.append(
            "In brackets: 95 % bootstrap intervals that draw single utterances, since not every "
            "one names its cluster, or all name the same. They say nothing about other speakers."
        )
    else:
        notes.append(f"In brackets: 95 % bootstrap intervals that draw whole {drawn}s, {count:,}.")
    if count < FEW_CLUSTERS:
        notes.append(
            f"Warning: with fewer than {FEW_CLUSTERS} {drawn}s, intervals and p-values of the "
            f"bootstrap are rough; take them with caution."
        )
    if record["correction"]:
        notes.append(
            f"Every system is compared with {record['systems'][0]['name']}; p-values are "
            f"corrected for {len(record['comparisons'])} comparisons (Holm), test by test."
        )
    return notes


def findings_of(pair: Mapping[str, Any], *, several: bool) -> list[Finding]:
    """Return what each test says of a pair.

    Args:
        pair: an entry of "comparisons".
        several: whether to judge by corrected p-values.
    """
    key = "p_holm" if several else "p"
    system, baseline = pair["system"], pair["baseline"]

    def finding(test: str, question: str, result: str, gain: float) -> Finding:
        p_value = pair[test][key]
        return Finding(question, result, p_value, _conclude(system, baseline, gain, p_value))

    findings = [
        finding(unit, f"{name} wrong", _write_difference(pair[unit]), -_or_0(pair[unit]))
        for unit, name in (("word", "words"), ("char", "characters"), ("sentence", "sentences"))
    ]
    matched, sentences = pair["mapsswe"], pair["mcnemar"]
    only_baseline = sentences["only_baseline_right"]
    only_system = sentences["only_system_right"]
    return [
        *findings,
        finding(
            "mapsswe",
            "MAPSSWE, word errors",
            f"{abs(matched['mean']):.3f} {'more' if matched['mean'] < 0 else 'fewer'} per segment, "
            f"{matched['segments']:,} segments, Z {matched['z']:.3f}",
            matched["mean"],
        ),
        finding(
            "mcnemar",
            "McNemar, sentences",
            f"{only_system:,} right only in {system}, {only_baseline:,} only in {baseline}",
            only_system - only_baseline,
        ),
    ]


def balance_of(pair: Mapping[str, Any], utterances: int) -> str:
    """Return in how many utterances a system makes fewer, more, and as many word errors."""
    fewer, more = pair["fewer_errors"], pair["more_errors"]
    return (
        f"{pair['system']} makes fewer word errors in {fewer:,} of {utterances:,} utterances, more "
        f"in {more:,}, as many in {utterances - fewer - more:,}."
    )


def write_p(p_value: float | None) -> str:
    """Return a p-value with three decimals, "< 0.001", or "n/a"."""
    if p_value is None:
        return "n/a"
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def align_both(reference: str, first: str, second: str, *, costs: Costs) -> list[Row]:
    """Return the words of two outputs beside those of the reference they stand for.

    Words that were added before the same word of the reference share a row.
    """
    said = reference.split()
    rows: list[Row] = []
    columns = [_by_place(said, heard.split(), costs) for heard in (first, second)]
    for place, (one, other) in enumerate(zip(*columns, strict=True)):
        rows += [(None, *added) for added in zip_longest(one.added, other.added)]
        if place < len(said):
            rows.append((said[place], one.word, other.word))
    return rows


@dataclass(slots=True)
class _Place:
    """A word of the reference: what was added before it, and what it was taken for."""

    added: list[str]
    word: str | None = None


def _by_place(said: Sequence[str], heard: Sequence[str], costs: Costs) -> list[_Place]:
    places = [_Place([])]
    for word, recognised in align_tokens(said, heard, costs=costs):
        if word is not None:
            places[-1].word = recognised
            places.append(_Place([]))
        elif recognised is not None:
            places[-1].added.append(recognised)
    return places


def _conclude(system: str, baseline: str, gain: float, p_value: float | None) -> str:
    if p_value is None:
        return "cannot be judged: too little data"
    if gain == 0:
        return "no difference"
    odds = "less than 0.1 %" if p_value < 0.001 else f"{100 * p_value:.{_decimals(p_value)}f} %"
    if p_value >= _LEVEL:
        return f"no clear difference: equal systems differ as much in {odds} of test sets"
    better = system if gain > 0 else baseline
    return f"{better} is better: equal systems differ as much in {odds} of test sets"


def _decimals(share: float) -> int:
    """Return how many decimals of a percentage tell something."""
    return 0 if share >= 0.1 else 1 if share >= 0.01 else 2


def _or_0(difference: Mapping[str, Any]) -> float:
    return float(difference["difference"] or 0.0)


def _write_difference(difference: Mapping[str, Any]) -> str:
    """Return a difference of rates in points of per cent, with its interval."""
    if difference["difference"] is None:
        return "n/a: nothing was said"
    text = f"{100 * difference['difference']:+.2f}"
    if difference["ci95"] is None:
        return f"{text} points"
    low, high = difference["ci95"]
    return f"{text} [{100 * low:+.2f}, {100 * high:+.2f}] points"


def _system_row(system: Mapping[str, Any]) -> list[str]:
    mark = "[PARTIAL] " if system["failed"] else ""
    word = system["word"]
    counts = [f"{word[part]:,}" for part in ("n", "sub", "del", "ins")]
    rates = [_rate(system[unit]) for unit in ("word", "char", "sentence")]
    return [mark + system["name"], *counts, *rates]


def _rate(record: Mapping[str, Any]) -> str:
    if record["rate"] is None:
        return "n/a"
    if record["ci95"] is None:
        return f"{100 * record['rate']:.2f}"
    low, high = record["ci95"]
    return f"{100 * record['rate']:.2f} [{100 * low:.2f}, {100 * high:.2f}]"


def _differing_utterances(pair: Mapping[str, Any], costs: Costs) -> Iterator[str]:
    if not pair["utterances"]:
        return
    yield "### Where they differ most\n"
    names = ["ref", pair["baseline"], pair["system"]]
    shown = []
    for item in pair["utterances"]:
        baseline, system = item["baseline"], item["system"]
        rows = align_both(item["ref"], baseline["hyp"], system["hyp"], costs=costs)
        shown.append(
            f"{item['id']}: words wrong: {baseline['errors']} in {pair['baseline']}, "
            f"{system['errors']} in {pair['system']}\n{_aligned(rows, names)}"
        )
    yield "```text\n" + "\n".join(shown) + "```\n"


def _aligned(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Return the three texts under one another, broken to fit a line."""
    width_of_names = max(map(cell_len, names))
    heads = [f"  {pad(name, width_of_names)} " for name in names]
    blocks = [list(heads)]
    for row in rows:
        column = [word or _NOTHING for word in row]
        width = max(map(cell_len, column))
        if cell_len(blocks[-1][0]) + 1 + width > _LINE and blocks[-1] != heads:
            blocks.append(list(heads))
        blocks[-1] = [
            f"{line} {pad(cell, width)}" for line, cell in zip(blocks[-1], column, strict=True)
        ]
    return "".join(f"{line.rstrip()}\n" for block in blocks for line in block)
