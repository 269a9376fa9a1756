"""`ctcasr lm train` and `ctcasr lm perplexity`."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ctcasr.cli.options import PATH, command, device_option, set_option
from ctcasr.cli.progress import announce, count_of

if TYPE_CHECKING:
    from ctcasr.decoding.tokens import Tokens
    from ctcasr.training.language_model import LmEpoch

_DEFAULT_ORDER = 3
_Function = TypeVar("_Function", bound=Callable[..., Any])


@click.group("lm", short_help="Make and measure language models, n-gram and recurrent.")
def lm_command() -> None:
    """Make and measure language models: n-grams (ARPA files) and recurrent ones (safetensors)."""


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
    "ctcasr lm train books.txt -o chars.safetensors --rnn --unit char --dev dev.jsonl",
)
@_text_options
@click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    metavar="FILE",
    help="The model: .arpa[.gz], or .safetensors with --rnn.",
)
@click.option(
    "--order",
    type=click.IntRange(min=1),
    metavar="N",
    help="The most words of an n-gram; 3 where not given.",
)
@click.option(
    "--prune",
    metavar="0,COUNT,...",
    help="For 1-grams, 2-grams, ...: leave out those seen COUNT times or less; none where not "
    "given.",
)
@click.option(
    "--vocabulary",
    type=click.IntRange(min=1),
    metavar="N",
    help="Keep the N most frequent words; the others become <unk>.",
)
@click.option("--overwrite", is_flag=True, help="Replace a model that stands already.")
@click.option("--rnn", is_flag=True, help="A recurrent model (LSTM) in place of n-grams.")
@click.option(
    "--dev",
    type=PATH,
    metavar="TEXT",
    help="With --rnn: choose the best epoch by this text, and not by a share of the others.",
)
@set_option
@device_option
def train_command(
    texts: tuple[Path, ...],
    output: Path,
    order: int | None,
    prune: str | None,
    vocabulary: int | None,
    overwrite: bool,
    rnn: bool,
    dev: Path | None,
    overrides: tuple[str, ...],
    device: str,
    unit: str | None,
    labels_of: str | None,
    rules: str | None,
) -> None:
    """Make a model from texts: n-grams by modified Kneser-Ney, or a recurrent network.

    TEXT is a file with one sentence per line (.gz too), a manifest (.jsonl), or - for standard
    input. With --rnn, --set reaches network.embedding, .hidden, .layers and .dropout,
    training.epochs, .streams, .segment and others, and seed; docs/configuration.md has them all.
    """
    from ctcasr.pipeline.outputs import Existing

    existing = Existing.OVERWRITE if overwrite else Existing.REFUSE
    _refuse_together(rnn, {"--order": order, "--prune": prune, "--labels-of": labels_of}, "n-grams")
    recurrent = {"--dev": dev, "--set": overrides, "--device": device != "auto"}
    _refuse_together(not rnn, recurrent, "recurrent models, with --rnn")
    tokens = _tokens(unit, labels_of, rules)
    if rnn:
        _train_recurrent(
            texts,
            output,
            tokens=tokens,
            dev=dev,
            vocabulary=vocabulary,
            existing=existing,
            device=device,
            overrides=overrides,
        )
    else:
        _train_ngrams(
            texts,
            output,
            order=order or _DEFAULT_ORDER,
            tokens=tokens,
            prune=_parse_counts(prune or "0"),
            vocabulary=vocabulary,
            existing=existing,
        )


def _train_ngrams(texts: tuple[Path, ...], output: Path, *, order: int, **settings: Any) -> None:
    from ctcasr.pipeline.language_model import train_language_model

    estimate, notes = train_language_model(texts, output, order=order, **settings)
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


def _train_recurrent(
    texts: tuple[Path, ...], output: Path, *, overrides: tuple[str, ...], **settings: Any
) -> None:
    from ctcasr.config import parse_section
    from ctcasr.pipeline.recurrent_lm import train_recurrent_model
    from ctcasr.training.language_model import LmConfig

    config = parse_section(LmConfig, {}, name="lm settings", overrides=overrides)
    learned, notes = train_recurrent_model(
        texts, output, config=config, on_epoch=_announce_epoch, **settings
    )
    for note in notes:
        announce(note)
    click.echo(
        f"{output}: {count_of(learned.num_parameters, 'parameter')}, "
        f"{count_of(learned.num_words, 'token')} known; from "
        f"{count_of(learned.num_sentences, 'sentence')} and "
        f"{count_of(learned.num_tokens, 'token')}; epoch {learned.best.epoch}, perplexity per "
        f"token {math.exp(learned.best.dev_nats):.3f}"
    )


def _announce_epoch(epoch: "LmEpoch") -> None:
    announce(
        f"epoch {epoch.epoch}/{epoch.epochs}  perplexity per token: training "
        f"{math.exp(epoch.train_nats):.3f}, dev {math.exp(epoch.dev_nats):.3f}"
        + ("" if epoch.is_best else " (not the best)")
    )


def _refuse_together(is_other_kind: bool, options: Mapping[str, Any], kind: str) -> None:
    """Refuse options that belong to the other kind of model."""
    given = [name for name, value in options.items() if value]
    if is_other_kind and given:
        raise click.UsageError(f"{given[0]} is for {kind}; leave it out")


@command(
    "perplexity",
    "ctcasr lm perplexity -m words.arpa dev.jsonl",
    "ctcasr lm perplexity -m chars.safetensors dev.jsonl",
)
@_text_options
@click.option(
    "-m",
    "--model",
    type=PATH,
    required=True,
    metavar="FILE",
    help="The model: .arpa[.gz], or .safetensors for a recurrent one.",
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
    input. For an ARPA file choose --unit, --labels-of and --rules as they were in training; a
    recurrent model knows them. Each sentence is scored by itself, and its end counts as a word and
    as a character, a space as a character; a token that the model does not know counts as <unk>,
    whatever it is made of.
    """
    from ctcasr.pipeline.language_model import measure_perplexity

    chosen = unit is not None or labels_of is not None or rules is not None
    tokens = _tokens(unit, labels_of, rules) if chosen else None
    measured, notes = measure_perplexity(model, texts, tokens=tokens)
    for note in notes:
        announce(note)
    unknown = f"{measured.num_unknown:,} ({measured.unknown_rate:.2%})"
    for name, value in (
        ("sentences", f"{measured.num_sentences:,}"),
        ("words", f"{measured.num_words:,}"),
        ("characters", f"{measured.num_chars:,}"),
        ("tokens", f"{measured.num_tokens:,}"),
        ("unknown tokens", unknown),
        ("perplexity per word", f"{measured.per_word:.2f}"),
        ("perplexity per character", f"{measured.per_char:.3f}"),
        ("perplexity per token", f"{measured.perplexity:.3f}"),
        ("the same without unknown tokens", f"{measured.known_perplexity:.3f}"),
    ):
        click.echo(f"{name:<32}  {value}")


lm_command.add_command(train_command)
lm_command.add_command(perplexity_command)


def _tokens(unit: str | None, labels_of: str | None, rules: str | None) -> "Tokens":
    from ctcasr.decoding.tokens import Tokens, TokenUnit
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
