"""Markdown tables whose columns also line up where nothing renders Markdown; settings in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len

NOTHING = "***"
"""Stands where a word is missing, as sclite users expect."""


def render_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: Sequence[bool] | None = None
) -> str:
    """Return a Markdown table, padded to equal width; wide characters count as two columns.

    Args:
        header: a title for each column.
        rows: as many cells each; `|` is escaped and line breaks become spaces.
        numeric: which columns stand to the right; none where it is not given.
    """
    right = numeric or [False] * len(header)
    cells = [[_escape(cell) for cell in row] for row in [header, *rows]]
    widths = [max(3, *map(cell_len, column)) for column in zip(*cells, strict=True)]
    rules = [
        "-" * (width - 1) + ":" if at_right else "-" * width
        for width, at_right in zip(widths, right, strict=True)
    ]
    lines = [
        [pad(cell, width, right=r) for cell, width, r in zip(row, widths, right, strict=True)]
        for row in cells
    ]
    lines.insert(1, rules)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def render_rate(record: Mapping[str, Any]) -> str:
    """Return a rate in per cent with its interval; "n/a" where nothing was said."""
    if record["rate"] is None:
        return "n/a"
    if record["ci95"] is None:
        return f"{100 * record['rate']:.2f}"
    low, high = record["ci95"]
    return f"{100 * record['rate']:.2f} [{100 * low:.2f}, {100 * high:.2f}]"


def visible(text: str) -> str:
    """Return a text in which a space by itself can be seen."""
    return "\N{OPEN BOX}" if text == " " else text


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return `text` with spaces up to `width` terminal columns, before it where `right`."""
    spaces = " " * (width - cell_len(text))
    return spaces + text if right else text + spaces


def in_words(settings: Mapping[str, Any]) -> str:
    """Return settings as "beam 64, alpha 0.5, lm words.arpa 3f2a..."; those within in one go."""
    return ", ".join(f"{key} {_value(value)}" for key, value in settings.items())


def _value(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    if set(value) == {"name", "sha256"}:
        return f"{value['name']} {value['sha256']}"
    return " ".join(f"{key}={inner}" for key, inner in value.items())


def _escape(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
