"""Options that several commands share, declared once."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ctcasr.config import DecodeConfig

_Function = TypeVar("_Function", bound=Callable[..., Any])


def command(name: str, *examples: str) -> Callable[[_Function], click.Command]:
    """Declare a command; its docstring's first line is its summary, the examples end its help."""

    def declare(function: _Function) -> click.Command:
        summary = (function.__doc__ or "").partition("\n")[0]
        epilog = "\n".join(["\b", "Examples:", *(f"  {example}" for example in examples)])
        return click.command(name, short_help=summary, epilog=epilog)(function)

    return declare


# Existence is checked by the pipeline, whose messages say what to do next.
PATH = click.Path(path_type=Path)

set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set any configuration key, as in --set optim.peak_lr=3e-4. May be repeated.",
)
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    help="Where to compute; auto takes a GPU where there is one.",
)
batch_size_option = click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    help="Most recordings computed together; fewer need less memory.",
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    metavar="N",
    help="Threads that read recordings ahead.",
)
model_option = click.option(
    "-m",
    "--model",
    required=True,
    metavar="MODEL",
    help="A model file, a run folder, or the name of a built-in model.",
)


def decoding_options(function: _Function) -> _Function:
    """Add --beam and --nbest."""
    function = click.option(
        "--nbest",
        type=click.IntRange(min=1),
        metavar="N",
        help="Give the N best texts (jsonl); needs a beam of at least N.",
    )(function)
    return click.option(
        "--beam",
        type=click.IntRange(min=0),
        metavar="K",
        help="Prefix beam search that keeps K prefixes; 0 is best path.",
    )(function)


def decode_config(
    base: "DecodeConfig", *, beam: int | None, nbest: int | None, overrides: tuple[str, ...]
) -> "DecodeConfig":
    """Return the model's decoding settings with the command line's on top.

    Raises:
        ConfigError: a value that cannot be, or an override of another section.
    """
    from ctcasr.config import parse_config
    from ctcasr.errors import ConfigError

    foreign = [text for text in overrides if not text.startswith("decode.")]
    if foreign:
        raise ConfigError(
            f"--set {foreign[0]}: the model has been trained; only decode.* can be set here"
        )
    values = base.model_dump(mode="json")
    if beam is not None:
        values["beam"] = beam
    if nbest is not None:
        values["nbest"] = nbest
        values["beam"] = max(values["beam"], nbest) if beam is None else beam
    return parse_config({"decode": values}, name="decode", overrides=overrides).decode
