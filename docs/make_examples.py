"""Make the examples of ink and of line images that ship in ctcasr/examples.

python docs/make_examples.py
"""

from pathlib import Path

from recipes.iam_ondb.render import draw
from tests.ink_letters import INK_TEXTS, write_inkml, write_letters

EXAMPLES = Path(__file__).parents[1] / "ctcasr" / "examples"


def main() -> None:
    """Write both folders."""
    lines = [(write_letters(text, seed=n), text) for n, text in enumerate(INK_TEXTS)]
    (EXAMPLES / "ink").mkdir(exist_ok=True)
    (EXAMPLES / "lines").mkdir(exist_ok=True)
    write_inkml(EXAMPLES / "ink" / "letters.inkml", lines)
    for number, (ink, text) in enumerate(lines):
        place = EXAMPLES / "lines" / f"line-{number}.png"
        draw(ink).save(place, optimize=True)
        place.with_suffix(".gt.txt").write_text(text + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
