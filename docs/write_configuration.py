"""Write docs/configuration.md from the configuration classes.

python docs/write_configuration.py
"""

from collections.abc import Iterable
from pathlib import Path

from ctcasr.config import ImageConfig, InkConfig, describe_keys
from ctcasr.training.language_model import LmConfig

_OF_MEDIUM = ("frontend.", "augment.")
PAGE = Path(__file__).with_name("configuration.md")


def render_reference() -> str:
    """Return the page as Markdown: one table per section. Pure: equal classes give equal bytes."""
    lines = [
        "# Configuration reference",
        "",
        "Every key of a run's YAML file, from the classes that read it. Any of them can be set on",
        "the command line too: `--set optim.peak_lr=3e-4`. An unknown key stops the run.",
        *_tables(describe_keys()),
        "",
        "# Pen strokes",
        "",
        "Where `frontend.kind` is `offsets` or `graves`, these sections hold other keys.",
        *_tables(row for row in describe_keys(InkConfig) if row[0].startswith(_OF_MEDIUM)),
        "",
        "# Images of lines",
        "",
        "Where `frontend.kind` is `columns`, these sections hold other keys.",
        *_tables(row for row in describe_keys(ImageConfig) if row[0].startswith(_OF_MEDIUM)),
        "",
        "# Recurrent language models",
        "",
        "What `ctcasr lm train --rnn --set KEY=VALUE` reaches; these keys stand in no YAML file.",
        *_tables(describe_keys(LmConfig)),
    ]
    return "\n".join(lines) + "\n"


def _tables(rows: Iterable[tuple[str, str, str, str]]) -> list[str]:
    lines: list[str] = []
    section = None
    for key, kind, default, meaning in rows:
        name = key.split(".", maxsplit=1)[0] if "." in key else "top level"
        if name != section:
            section = name
            lines += [
                "",
                f"## {name}",
                "",
                "| key | type | default | meaning |",
                "| --- | --- | --- | --- |",
            ]
        cells = (f"`{key}`", _cell(kind), f"`{default}`", _cell(meaning))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(render_reference(), encoding="utf-8", newline="\n")
