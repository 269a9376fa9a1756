"""`ctcasr lm train` and `ctcasr lm perplexity`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ctcasr.cli.options import PATH, command
from ctcasr.cli.progress import announce, count_of

if TYPE_CHECKING:
    from ctcasr.pipeline.language_model import Tokens

_Function = TypeVar("_Function", bound=Callable[..., Any])


@click.group("lm", short_help="Make and measure n-gram language models (ARPA files).")
def lm_command() -> None:
    """Make and measure n-gram language models (ARPA files)."""


def _text_options(function: _Function) -> _Function:
    """Add TEXT..., and what a sentence is split into."""
    for declare in (
        click.option(
            "--rules",
            default=None,
            metavar="RULE,...",
            help="Text rules; nfc,whitespace or those of --labels-of where not given.",
        ),
        click.option(
            "--labels-of",
            metavar="MODEL",
            help="Count the labels of this recognizer (a model file, run folder or built-in name).",
        ),
        click.option(
            "--unit",
            type=click.Choice(["word", "char", "grapheme"]),
            help="What an n-gram is made of; words where not given.",
        ),
        click.argument("texts", type=PATH, metavar="TEXT...", nargs=-1, required=True),
    ):
        function = declare(function)
    return function


@command(
    "train",
    "ctcasr lm train train.jsonl -o words.arpa.gz",
    "ctcasr lm train news.txt books.txt.gz -o words.arpa --order 4 --prune 0,0,1 \\",
    "                --vocabulary 50000",
    "ctcasr lm train train.jsonl -o labels.arpa --labels-of exp/mine --order 6",
)
@_text_options
@click.option(
    "-o", "--output", type=PATH, required=True, metavar="FILE", help="The model: .arpa[.gz]."
)
@click.option(
    "--order",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    metavar="N",
    help="The most words of an n-gram.",
)
@click.option(
    "--prune",
    default="0",
    show_default=True,
    metavar="0,COUNT,...",
    help="For 1-grams, 2-grams, ...: leave out those seen COUNT times or less.",
)
@click.option(
    "--vocabulary",
    type=click.IntRange(min=1),
    metavar="N",
    help="Keep the N most frequent words; the others become <unk>.",
)
@click.option("--overwrite", is_flag=True, help="Replace a model that stands already.")
def train_command(
    texts: tuple[Path, ...],
    output: Path,
    order: int,
    prune: str,
    vocabulary: int | None,
    overwrite: bool,
    unit: str | None,
    labels_of: str | None,
    rules: str | None,
) -> None:
    """Make a model from texts: modified Kneser-Ney, interpolated.

    TEXT is a file with one sentence per line (.gz too), a manifest (.jsonl), or - for standard
    input.
    """
    from ctcasr.pipeline.language_model import train_language_model
    from ctcasr.pipeline.outputs import Existing

    estimate, notes = train_language_model(
        texts,
        output,
        order=order,
        tokens=_tokens(unit, labels_of, rules),
        prune=_parse_counts(prune),
        vocabulary=vocabulary,
        existing=Existing.OVERWRITE if overwrite else Existing.REFUSE,
    )
    for note in notes:
        announce(note)
    fallbacks = [
        f"{number}-grams"
        for number, discounts in enumerate(estimate.discounts, start=1)
        if not discounts.estimated
    ]
    if fallbacks:
        announce(f"too few counts to estimate discounts of {', '.join(fallbacks)}: .5, 1 and 1.5")
    if estimate.model.order < order:
        announce(f"the text has no n-grams above order {estimate.model.order} to keep")
    amounts = [f"{number:,} {n}-grams" for n, number in enumerate(estimate.num_ngrams, start=1)]
    click.echo(
        f"{output}: {', '.join(amounts)}; from {count_of(estimate.num_sentences, 'sentence')} and "
        f"{count_of(estimate.num_words, 'word')}, {estimate.num_unknown:,} of them <unk>"
    )


@command("perplexity", "ctcasr lm perplexity -m words.arpa dev.jsonl")
@_text_options
@click.option(
    "-m", "--model", type=PATH, required=True, metavar="FILE", help="The model: .arpa[.gz]."
)
def perplexity_command(
    texts: tuple[Path, ...],
    model: Path,
    unit: str | None,
    labels_of: str | None,
    rules: str | None,
) -> None:
    """Measure how well a model foresees texts.

    TEXT is a file with one sentence per line (.gz too), a manifest (.jsonl), or - for standard
    input. Choose --unit, --labels-of and --rules as they were in training.
    """
    from ctcasr.pipeline.language_model import measure_perplexity

    measured, notes = measure_perplexity(model, texts, tokens=_tokens(unit, labels_of, rules))
    for note in notes:
        announce(note)
    unknown = f"{measured.num_unknown:,} ({measured.unknown_rate:.2%})"
    for name, value in (
        ("sentences", f"{measured.num_sentences:,}"),
        ("words", f"{measured.num_words:,}"),
        ("unknown words", unknown),
        ("perplexity", f"{measured.perplexity:.2f}"),
        ("perplexity without unknown words", f"{measured.known_perplexity:.2f}"),
    ):
        click.echo(f"{name:<32}  {value}")


lm_command.add_command(train_command)
lm_command.add_command(perplexity_command)


def _tokens(unit: str | None, labels_of: str | None, rules: str | None) -> "Tokens":
    from ctcasr.pipeline.language_model import Tokens, TokenUnit
    from ctcasr.text_rules import DEFAULT_RULES

    if unit and labels_of:
        raise click.UsageError("--labels-of says what the units are; leave --unit out")
    chosen = DEFAULT_RULES if rules is None else tuple(filter(None, rules.split(",")))
    if labels_of is None:
        return Tokens(unit=TokenUnit(unit or "word"), rules=chosen)
    from ctcasr.bundle import load

    recognizer = load(labels_of, device="cpu")
    if rules is None:
        chosen = tuple(recognizer.header["rules"])
    return Tokens(alphabet=recognizer.alphabet, rules=chosen)


def _parse_counts(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise click.UsageError(f"--prune {text}: give counts from 0, as in 0,0,1")
    return tuple(int(part) for part in parts)
