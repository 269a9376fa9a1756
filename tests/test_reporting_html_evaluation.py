import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from ctcasr.reporting.html.drawing import AlignedText, Picture, draw_utterance
from ctcasr.reporting.html.evaluation import render_evaluation
from ctcasr.reporting.html.examples import Examples, choose_examples, show_text
from ctcasr.reporting.html.utterances import ShownUtterance
from ctcasr.reporting.html.views import Spectrogram, WrittenLine
from ctcasr.scoring import Failed, Reference, align_tokens, score_utterances
from ctcasr.scoring.analysis import analyse
from ctcasr.scoring.measured import Measured

VOID = {"meta", "link", "br", "hr", "img", "input", "circle", "rect", "line", "polyline", "image"}


class Balanced(HTMLParser):
    """Every element that is opened is closed, in order; ids and what points to them are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in given:
            self.ids.append(given["id"])
        address = given.get("href") or given.get("src") or ""
        if address.startswith("#"):
            self.targets.append(address[1:])
        elif address.startswith(("http", "//")):
            self.outside.append(address)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open, tag
            assert self.open.pop() == tag


def read(page):
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    assert set(parser.targets) <= set(parser.ids)
    assert parser.outside == []
    return re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)


def record_of(rows, *, seen=None, failed=(), measured=None, cluster="speaker"):
    """Rows of (id, said, heard, speaker)."""
    references = [Reference(key, said, speaker, {"room": key[0]}) for key, said, _, speaker in rows]
    outputs = {key: Failed("broken") if key in failed else heard for key, _, heard, _ in rows}
    results = score_utterances(references, outputs, measured=measured, cluster=cluster)
    return {**results.to_json(), "analysis": analyse(results, seen=seen).to_json()}


ROWS = [
    ("a1", "the cat sat", "the hat sat", "ann"),
    ("a2", "yes", "yes", "ann"),
    ("b1", "no no", "no", "ben"),
    ("b2", "stop", "stop now", "ben"),
]


def test_the_page_states_the_rates_of_the_record():
    page = read(render_evaluation(record_of(ROWS), name="test"))

    assert "42.86 %" in page  # three errors in seven words
    assert "cat" in page
    assert "hat" in page


def test_equal_records_give_equal_pages():
    assert render_evaluation(record_of(ROWS), name="t") == render_evaluation(
        record_of(ROWS), name="t"
    )


def test_failures_mark_the_headline_and_are_named():
    page = read(render_evaluation(record_of(ROWS, failed={"b1"}), name="test"))

    assert "[PARTIAL] test</h1>" in page
    assert "broken" in page


def test_items_without_a_text_are_named():
    page = read(render_evaluation(record_of([*ROWS, ("c1", None, "x", "cal")]), name="t"))

    assert "1 item without reference text" in page
    assert ">c1<" in page


def test_a_few_speakers_are_a_warning_and_none_another():
    few = render_evaluation(record_of(ROWS), name="t")
    none = render_evaluation(record_of([(k, s, h, None) for k, s, h, _ in ROWS]), name="t")

    assert "there are 2 only" in few
    assert "nothing about others" in none
    many = [(f"u{n}", "a", "a", f"s{n // 2}") for n in range(60)]
    assert 'class="note"' not in render_evaluation(record_of(many), name="t")


def test_one_utterance_has_no_interval():
    assert "There are no intervals" in render_evaluation(record_of(ROWS[:1]), name="t")


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_what_users_write_is_text_and_nothing_else(text):
    shown = ShownUtterance(
        id=text,
        pairs=align_tokens([text], ["b"]),
        has_reference=True,
        facts=[(text, text)],
        picture=draw_utterance(picture(text), title=text),
        sound=text,
        nbest=[(text, -1.0)],
        error=text,
    )
    rows = [(text, text, "x", text), ("b", "y", text, text + "2")]

    page = render_evaluation(
        record_of(rows, failed={"b"}, seen=frozenset()),
        name=text,
        examples=[Examples(text, text, [shown])],
        model_card={text: text},
    )

    assert "<script>alert" not in page
    assert "<img" not in page
    read(page)


def test_right_to_left_text_decides_its_own_direction():
    page = render_evaluation(
        record_of([("a", "שלום עולם", "שלום", "x"), ("b", "כן", "כן", "y")]),
        name="t",
        examples=[
            Examples("e", "w", [ShownUtterance("a", align_tokens(["שלום"], ["שלומ"]), True)])
        ],
    )

    assert re.search(r'<td dir="auto">עולם</td>', page)
    assert re.search(r'<div class="aligned" dir="auto"', page)
    # A mark in Latin letters must not decide the direction.
    assert '<span class="mark" dir="ltr">' in page


def test_search_and_calibration_have_their_sections_where_they_were_measured():
    facts = Measured(
        duration=1.0,
        confidence=0.9,
        word_confidences=(0.9,),
        reference_score=-2.0,
        output_score=-1.0,
        is_proven=True,
        wider="yes",
    )
    measured = {key: facts for key, *_ in ROWS}

    page = read(render_evaluation(record_of(ROWS, measured=measured), name="t"))

    assert "Search error or model error" in page
    assert "Expected calibration error" in page
    plain = render_evaluation(record_of(ROWS), name="t")
    assert "Search error or model error" not in plain
    assert "calibration error" not in plain


def test_the_smallest_results_make_a_page():
    read(render_evaluation(record_of([("a", "", "", None)]), name="t"))


def picture(label="a"):
    generator = np.random.default_rng(0)
    posteriors = generator.dirichlet([1.0] * 3, size=20).astype(np.float32)
    return Picture(
        extent=0.6,
        view=Spectrogram(generator.standard_normal((60, 64)).astype(np.float32)),
        posteriors=posteriors,
        labels=["<blank>", label, " "],
        blank=0,
        frame_shift=0.03,
        texts=(
            AlignedText("reference", ((label, 0.1, 0.13), (" ", 0.2, 0.23))),
            AlignedText("output", missing="(nothing)"),
        ),
    )


def test_a_picture_has_both_texts_and_the_sound():
    drawn = str(draw_utterance(picture(), title="t"))

    assert "data:image/png;base64," in drawn
    assert drawn.count('class="span"') == 2
    assert "(nothing)" in drawn
    assert "\N{OPEN BOX}" in drawn


def test_nothing_heard_can_be_drawn():
    empty = Picture(
        extent=0.0,
        view=Spectrogram(np.zeros((0, 64), np.float32)),
        posteriors=np.zeros((0, 3), np.float32),
        labels=["<blank>", "a", " "],
        blank=0,
        frame_shift=0.03,
        texts=(AlignedText("output", missing="(nothing)"),),
    )

    assert "<svg" in draw_utterance(empty, title="t")


def test_ink_is_drawn_stroke_by_stroke_with_the_way_in_the_air_and_its_labels():
    strokes = (np.array([[0.0, 0.0], [5.0, -3.0]]), np.array([[8.0, -9.0]]))
    view = WrittenLine(strokes, (("i", 5.0),))

    drawn = str(draw_utterance(dataclasses.replace(picture(), view=view), title="t"))

    assert drawn.count('class="ink"') == 1
    assert drawn.count('class="ink-dot"') == 1
    assert drawn.count("stroke-opacity") >= 1
    assert ">i</text>" in drawn


def test_examples_are_the_worst_the_median_and_some_by_chance_none_twice():
    rows = [(f"u{n:02}", "a b c", " ".join("abc"[: n % 4]), "x") for n in range(40)]
    record = record_of(rows)

    worst, median, drawn = choose_examples(record["utterances"], 3)

    assert [one["word"]["del"] for one in worst.utterances] == [3, 3, 3]
    assert {one["word"]["del"] for one in median.utterances} <= {1, 2}
    ids = [one["id"] for choice in (worst, median, drawn) for one in choice.utterances]
    assert len(ids) == len(set(ids)) == 9
    assert choose_examples(record["utterances"][::-1], 3)[2] == drawn


def test_an_example_without_a_model_shows_its_texts():
    record = record_of(ROWS)

    page = read(
        render_evaluation(
            record, name="t", examples=[Examples("e", "w", [show_text(record["utterances"][0])])]
        )
    )

    assert '<span class="mark" dir="ltr">read as </span>hat' in page
    assert "wrong words 1 of 3" in page
