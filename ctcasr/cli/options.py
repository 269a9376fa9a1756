"""Options that several commands share, declared once."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

if TYPE_CHECKING:
    from ctcasr.decode_config import DecodeConfig
    from ctcasr.reporting.nist_export import NistFormat

DEFAULT_BOOST = 5.0
"""Nats for a hotword without a weight."""

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
    help="Threads that read recordings ahead, and that search.",
)
model_option = click.option(
    "-m",
    "--model",
    required=True,
    metavar="MODEL",
    help="A model file, a run folder, or the name of a built-in model.",
)
cluster_option = click.option(
    "--cluster",
    default="speaker",
    show_default=True,
    metavar="FIELD",
    help="Field of the manifest whose values say which utterances the intervals draw together.",
)
costs_option = click.option(
    "--costs",
    type=click.Choice(["levenshtein", "nist"]),
    default="levenshtein",
    show_default=True,
    help="Costs of the alignments in which errors are counted; nist counts as sclite does.",
)
export_option = click.option(
    "--export",
    "exported",
    default="",
    metavar="FORMAT,...",
    help="Also write ref and hyp as trn, stm, ctm, which sclite reads, into the output folder.",
)
audio_option = click.option(
    "--audio",
    type=click.Choice(["link", "embed", "none"]),
    default="link",
    show_default=True,
    help="How a page gets at recordings: by their path from it, inside it, or not at all.",
)


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What the command line says about the search; None, or nothing, where it is silent."""

    beam: int | None
    nbest: int | None
    lm: Path | None
    lexicon: Path | None
    hotwords: Mapping[str, float]
    overrides: tuple[str, ...]
    rescore: Path | None = None

    def config(self, base: "DecodeConfig") -> "DecodeConfig":
        """Return a model's decoding settings with the command line's on top.

        Raises:
            ConfigError: a value that cannot be, or an override of another section.
        """
        from ctcasr.config import parse_config
        from ctcasr.errors import ConfigError

        foreign = [text for text in self.overrides if not text.startswith("decode.")]
        if foreign:
            raise ConfigError(
                f"--set {foreign[0]}: the model has been trained; only decode.* can be set here"
            )
        values = base.model_dump(mode="json")
        if self.beam is not None:
            values["beam"] = self.beam
        elif base.beam == 0:
            del values["beam"]  # to be chosen by what the rest needs
        if self.nbest is not None:
            values["nbest"] = self.nbest
            if self.beam is None and base.beam > 0:
                values["beam"] = max(base.beam, self.nbest)
        files = (("lm", self.lm), ("lexicon", self.lexicon), ("rescore", self.rescore))
        for kind, path in files:
            if path is not None:
                values[kind] = str(path)
        values["hotwords"] |= self.hotwords
        return parse_config(
            {"decode": values}, name="search settings", overrides=self.overrides
        ).decode

    def fixed(self) -> set[str]:
        """Return the keys of `decode` that the command line itself sets."""
        keys = {text.removeprefix("decode.").partition("=")[0] for text in self.overrides}
        return keys | ({"beam"} if self.beam is not None else set())


def parse_exports(exported: str) -> "list[NistFormat]":
    """Return the formats that --export names.

    Raises:
        UsageError: one that does not exist.
    """
    from ctcasr.reporting.nist_export import NistFormat

    names = [name for name in exported.split(",") if name]
    unknown = [name for name in names if name not in list(NistFormat)]
    if unknown:
        raise click.UsageError(
            f"--export {unknown[0]}: no such format; choose from: {', '.join(NistFormat)}"
        )
    return [NistFormat(name) for name in names]


def search_options(function: _Function) -> _Function:
    """Add --beam, --nbest, --lm, --lexicon, --rescore, --hotword and --set, all as `search`."""

    @functools.wraps(function)
    def collect(
        *args: Any,
        beam: int | None,
        nbest: int | None,
        lm: Path | None,
        lexicon: Path | None,
        rescore: Path | None,
        hotwords: tuple[str, ...],
        overrides: tuple[str, ...],
        **others: Any,
    ) -> Any:
        boosts = dict(map(_parse_hotword, hotwords))
        search = SearchOptions(beam, nbest, lm, lexicon, boosts, overrides, rescore)
        return function(*args, search=search, **others)

    command = cast(_Function, collect)
    for option in reversed(_SEARCH_OPTIONS):
        command = option(command)
    return command


_SEARCH_OPTIONS = (
    click.option(
        "--beam",
        type=click.IntRange(min=0),
        metavar="K",
        help="Prefix beam search that keeps K prefixes; 0 is best path. Where the model has no "
        "beam: 64 with --lm, --lexicon, --rescore, --hotword or --nbest, which need one.",
    ),
    click.option(
        "--lm",
        type=PATH,
        metavar="FILE",
        help="Weigh texts by this n-gram language model (.arpa[.gz]; see ctcasr lm train); "
        "ctcasr tune finds the weights decode.alpha and decode.beta. A recurrent one "
        "(.safetensors) needs --set decode.lm_unit=label and is slow; see --rescore.",
    ),
    click.option(
        "--lexicon",
        type=PATH,
        metavar="FILE",
        help="Say only the words of this file, one a line; with --set decode.open_vocabulary=true "
        "others may be spelt out.",
    ),
    click.option(
        "--rescore",
        type=PATH,
        metavar="FILE",
        help="Weigh the texts that the beam ends with by this recurrent language model "
        "(.safetensors; see ctcasr lm train --rnn); ctcasr tune finds decode.gamma and "
        "decode.delta.",
    ),
    click.option(
        "--hotword",
        "hotwords",
        multiple=True,
        metavar="WORD[=WEIGHT]",
        help=f"Prefer a word or phrase: WEIGHT nats, {DEFAULT_BOOST:g} where not given; "
        "5 makes it 148 times as probable. May be repeated.",
    ),
    click.option(
        "--nbest",
        type=click.IntRange(min=1),
        metavar="N",
        help="Give the N best texts (jsonl); needs a beam of at least N.",
    ),
    set_option,
)


def _parse_hotword(text: str) -> tuple[str, float]:
    word, equals, weight = text.rpartition("=")
    if not equals:
        return text, DEFAULT_BOOST
    try:
        return word, float(weight)
    except ValueError as error:
        raise click.UsageError(
            f"--hotword {text}: give WORD or WORD=WEIGHT, the weight in nats, as in kleene=8"
        ) from error
