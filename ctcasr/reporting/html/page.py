"""Templates to pages: whatever comes from a user is escaped, whatever is missing is our mistake.

A page holds all it needs: style, drawings, and the few lines of script it may have. Its colours
follow the reader's light or dark setting, and print on white.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from ctcasr.reporting.tables import visible


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ctcasr.reporting.html"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "percent": percent,
        "interval": interval,
        "count": count,
        "seconds": seconds,
        "visible": visible,
    }
    return environment


def render_page(template: str, *, title: str, **values: Any) -> str:
    """Return a page as text; equal values give equal bytes.

    Args:
        template: name of a file in templates/ that extends page.html.j2.
        title: of the page.
        values: what the template asks for.
    """
    return _environment().get_template(template).render(title=title, **values)


def percent(share: float | None, digits: int = 2) -> str:
    """Return a fraction in per cent; "n/a" for None."""
    return "n/a" if share is None else f"{100 * share:.{digits}f} %"


def interval(record: Mapping[str, Any] | Sequence[float] | None, digits: int = 2) -> str:
    """Return a 95 % interval in per cent, of a record of results.json or by itself; "" for none."""
    ends = record["ci95"] if isinstance(record, Mapping) else record
    if ends is None:
        return ""
    return f"[{100 * ends[0]:.{digits}f}, {100 * ends[1]:.{digits}f}]"


def count(number: float) -> str:
    """Return a whole number with separators between thousands."""
    return f"{number:,.0f}"


def seconds(duration: float | None) -> str:
    """Return a duration as "1 h 05 min", "3 min 20 s" or "4.25 s"; "n/a" for None."""
    if duration is None:
        return "n/a"
    if duration < 60:
        return f"{duration:.2f} s"
    minutes, rest = divmod(round(duration), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02} min" if hours else f"{minutes} min {rest:02} s"


def describe_length(amount: float, unit: str) -> str:
    """Return how long an item is: "2.50 s", "107 points", "812 px"."""
    if unit == "s":
        return f"{amount:.2f} s"
    return f"{amount:,.0f} {'points' if unit == 'point' else unit}"
