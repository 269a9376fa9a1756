"""Whole reports against tests/golden; after a wanted change, delete a file there and run twice."""

from pathlib import Path

import pytest
from rich.cells import cell_len

from ctcasr.reporting import render_error_table, render_report
from ctcasr.reporting.tables import render_table
from ctcasr.scoring import Failed, Provenance, Reference, score_utterances

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def results():
    references = [
        Reference("u1", "the cat sat on the mat", "ann"),
        Reference("u2", "HELLO | there", "ann"),
        Reference("u3", "yes", "ben"),
        Reference("u4", None, "ben"),
        Reference("u5", "", "ben"),
        Reference("u6", "東京 です", "ben"),
        Reference("u7", " ".join(f"word{n}" for n in range(20)), "cem"),
    ]
    hypotheses: dict[str, str | Failed] = {
        "u1": "the hat sat on mat now",
        "u2": "hello there",
        "u3": Failed("u3.wav: not\naudio | at all"),
        "u5": "",
        "u6": "京都 です か",
        "u7": " ".join(f"word{n}" for n in range(20) if n != 12),
    }
    return score_utterances(
        references,
        hypotheses,
        rules=("nfc", "whitespace", "lowercase"),
        provenance=Provenance(
            command="ctcasr score ref.jsonl hyp.jsonl",
            commit="0123abc",
            versions={"ctcasr": "0.1.0"},
            model={"name": "m", "sha256": "f00"},
            decoder={"beam": 16},
            reference_sha256="bad",
            rtf=0.0512,
        ),
    )


@pytest.fixture(scope="module")
def perfect():
    return score_utterances([Reference("u1", "yes", "ann")], {"u1": "yes"})


def assert_golden(text, name):
    path = GOLDEN / name
    if not path.exists():
        path.write_text(text, encoding="utf-8", newline="")
        pytest.fail(f"{path} was missing; it has been written: read it, then commit it")
    assert text == path.read_text(encoding="utf-8")


def test_report_of_partial_results(results):
    assert_golden(render_report(results, name="test"), "report_partial.md")


def test_report_of_perfect_results(perfect):
    assert_golden(render_report(perfect, name="dev"), "report_perfect.md")


def test_table_of_several_sets(results, perfect):
    empty = score_utterances([], {})
    text = render_error_table({"dev": perfect, "test": results, "nothing": empty})

    assert_golden(text, "error_table.md")


def test_stored_results_give_the_same_table(results):
    assert render_error_table({"test": results.to_json()}) == render_error_table({"test": results})


def test_partial_results_say_so_in_the_headline(results, perfect):
    assert render_report(results, name="test").startswith("# [PARTIAL] test: WER ")
    assert "PARTIAL" not in render_report(perfect, name="test")


def test_only_the_worst_ten_are_shown_the_worst_first():
    references = [Reference(f"u{n:02}", " ".join("a" * n)) for n in range(1, 15)]
    text = render_report(
        score_utterances(references, {item.id: "" for item in references}), name="test"
    )

    assert text.index("u14") < text.index("u13") < text.index("u05")
    assert "u04" not in text


def test_columns_line_up_in_a_terminal():
    text = render_table(
        ["name", "n"], [["東京", "1"], ["a|b\nc", "1,000"], ["", ""]], numeric=[False, True]
    )

    assert len({cell_len(line) for line in text.splitlines()}) == 1
    assert text.splitlines()[3] == r"| a\|b c | 1,000 |"
    assert text.splitlines()[1] == "| ------ | ----: |"


def test_aligned_text_never_leaves_the_terminal(results):
    block = render_report(results, name="test").split("```")[1]

    assert max(map(cell_len, block.splitlines())) <= 100
