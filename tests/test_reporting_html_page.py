import pytest

from ctcasr.reporting.html.page import interval, percent, render_page, seconds


def test_a_title_is_escaped():
    page = render_page("page.html.j2", title="<script>alert(1)</script>")

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_page_loads_nothing():
    page = render_page("page.html.j2", title="t")

    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize(
    ("share", "text"), [(0.12345, "12.35 %"), (None, "n/a"), (0.0, "0.00 %"), (2.0, "200.00 %")]
)
def test_shares_are_written_in_per_cent(share, text):
    assert percent(share) == text


def test_an_interval_is_that_of_a_record_or_its_own():
    assert interval({"ci95": [0.1, 0.25]}) == interval([0.1, 0.25]) == "[10.00, 25.00]"
    assert interval({"ci95": None}) == ""


@pytest.mark.parametrize(
    ("duration", "text"),
    [(None, "n/a"), (4.25, "4.25 s"), (200, "3 min 20 s"), (3_900, "1 h 05 min")],
)
def test_durations_are_readable(duration, text):
    assert seconds(duration) == text
