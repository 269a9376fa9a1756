import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.reporting.html.charts import Axis, Bars, Diagonal, Dots, Line, render_chart

X, Y = Axis("length, s"), Axis("word error rate", low=0.0, is_share=True)
SVG = "{http://www.w3.org/2000/svg}"


def parse(chart: str) -> ET.Element:
    return ET.fromstring(chart)


def heights(chart: str) -> list[float]:
    return [float(dot.get("cy", "")) for dot in parse(chart).iter("circle")]


def test_larger_numbers_stand_higher():
    low, high = heights(render_chart("t", X, Y, [Dots("", [(1, 0.1), (2, 0.5)])]))

    assert high < low


def test_a_logarithmic_axis_spaces_factors_evenly():
    rates = Axis("rate", is_log=True)
    first, second, third = heights(
        render_chart("t", X, rates, [Dots("", [(1, 1e-4), (2, 1e-3), (3, 1e-2)])])
    )

    assert first - second == pytest.approx(second - third, abs=0.2)


def test_text_is_escaped():
    chart = render_chart("<script>", Axis("a<b"), Y, [Dots("&", [(1, 1)], titles=['"<i>"'])])

    root = parse(chart)
    assert root.get("aria-label") == "<script>"
    assert not list(root.iter("script"))
    assert {text.text for text in root.iter("title")} == {"<script>", '"<i>"'}


def test_a_missing_value_leaves_a_gap():
    chart = render_chart("t", X, Y, [Line("", [(1, 0.1), (2, 0.2), (3, None), (4, 0.4), (5, 0.5)])])

    assert len(list(parse(chart).iter("polyline"))) == 2


def test_names_stand_in_a_legend_where_there_are_several():
    one = render_chart("t", X, Y, [Line("dev", [(1, 0.1)])])
    two = render_chart("t", X, Y, [Line("dev", [(1, 0.1)]), Line("train", [(1, 0.1)])])

    assert ">dev<" not in one
    assert ">dev<" in two
    assert ">train<" in two


def test_a_chart_of_nothing_says_so():
    assert "Nothing to draw: error &lt;b&gt;." in render_chart("error <b>", X, Y, [Line("", [])])


finite = st.floats(-1e6, 1e6)


@given(points=st.lists(st.tuples(finite, finite), min_size=1, max_size=20))
def test_everything_drawn_is_inside_the_picture(points):
    bars = [(x, x + 1, y) for x, y in points]
    intervals = [(y - 1, y + 1) for _, y in points]
    root = parse(
        render_chart(
            "t",
            Axis("x"),
            Axis("y"),
            [Dots("dots", points, intervals=intervals), Bars("bars", bars), Diagonal()],
        )
    )

    _, _, width, height = map(float, (root.get("viewBox") or "").split())
    for dot in root.iter("circle"):
        assert 0 <= float(dot.get("cx", "")) <= width
        assert 0 <= float(dot.get("cy", "")) <= height
