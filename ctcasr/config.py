"""RunConfig: one YAML file of values, made of sections that live with the code they configure.

YAML gives values only, never objects. An unknown key stops the run and names the nearest known
one; a value out of range names the key, the value and what is needed.
"""

import copy
import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from importlib import resources
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from ctcasr.alphabet import Alphabet, Direction, Unit, alphabet_of_labels
from ctcasr.decode_config import DecodeConfig
from ctcasr.errors import ConfigError
from ctcasr.frontends.image.augmentation import ImageAugmentConfig
from ctcasr.frontends.image.features import ImageFrontendConfig
from ctcasr.frontends.ink.augmentation import InkAugmentConfig
from ctcasr.frontends.ink.features import InkFrontendConfig
from ctcasr.frontends.media import Augment, Frontend, make_medium
from ctcasr.frontends.medium import Medium
from ctcasr.frontends.sound.augmentation import AugmentConfig
from ctcasr.frontends.sound.spectral import FrontendConfig, FrontendKind
from ctcasr.manifest.utterance import Modality
from ctcasr.models.encoder import EncoderConfig, SkipKind
from ctcasr.models.heads import HeadsConfig
from ctcasr.models.recurrent import Directions
from ctcasr.settings import Section
from ctcasr.text_rules import DEFAULT_RULES, apply_rules, apply_rules_to_pair
from ctcasr.training.loop import TrainingConfig
from ctcasr.training.optim import OptimConfig

_Section = TypeVar("_Section", bound=Section)


class OnBad(StrEnum):
    """What training does with utterances that cannot be used."""

    SKIP = "skip"
    STOP = "stop"


class Auto(StrEnum):
    """What stands for a number that is to be found out."""

    AUTO = "auto"


DEFAULT_BATCH_FRAMES = 6_000


class DataConfig(Section):
    """What is learned from. Section `data` of a run's YAML file."""

    train: str | None = None
    """Manifest of the training set; a relative path counts from the working folder."""

    dev: str | None = None
    """Manifest of the dev set, scored after every epoch; may be left out."""

    batch_frames: int | Auto = DEFAULT_BATCH_FRAMES
    """Most feature frames in a batch, padding included; 6,000 are 60 s at a 10 ms hop. `auto` tries
    at the start how many fit into half of the free memory, but no more than leave an epoch 50
    batches; run.json says how many, and `--resume` repeats it."""

    batch_size: int | None = Field(None, ge=1)
    """Most utterances in a batch; only `batch_frames` counts where not given."""

    max_frames: int = Field(6_000, ge=1)
    """Utterances with more feature frames are left out, by name."""

    on_bad: OnBad = OnBad.SKIP
    """`skip` utterances that cannot be read or aligned, listed in skipped.jsonl, or `stop`."""

    max_checked: int = Field(200_000, ge=0)
    """A training manifest of more lines is not held in memory and looked at whole before the first
    step, but indexed (12 bytes a line, beside it) and judged item by item, as training comes to
    them. Each line must say its `duration`."""

    max_unreadable: int = Field(10, ge=0)
    """Recordings that may turn unreadable while training runs; one more stops it, state saved."""

    workers: int = Field(2, ge=0)
    """Threads that read recordings ahead; 0 reads in the training thread."""

    cache_mb: int = Field(1_024, ge=0)
    """Memory for decoded recordings, so that later epochs need not decode them again."""

    @field_validator("batch_frames", mode="before")
    @classmethod
    def _are_frames(cls, value: Any) -> Any:
        is_number = isinstance(value, int | float) and float(value).is_integer() and value >= 1
        if not is_number and value != Auto.AUTO:
            raise ValueError(
                f"give how many frames a batch may have, at least 1, as in {DEFAULT_BATCH_FRAMES}, "
                f"or auto"
            )
        return value

    @property
    def fixed_batch_frames(self) -> int:
        """`batch_frames`, or its default where that is to be tried."""
        return DEFAULT_BATCH_FRAMES if isinstance(self.batch_frames, Auto) else self.batch_frames


def _check_text_rules(rules: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a rule that cannot be applied to one text by itself."""
    try:
        apply_rules("", rules)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return rules


def _check_score_rules(rules: tuple[str, ...]) -> tuple[str, ...]:
    try:
        apply_rules_to_pair("", "", rules)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return rules


class TextConfig(Section):
    """What is written. Section `text` of a run's YAML file."""

    rules: tuple[str, ...] = DEFAULT_RULES
    """Text rules applied to every transcript before it is learned, in order; docs/scoring.md has
    them all. Not `compounds`, which compares an output with its reference."""

    unit: Unit = Unit.CHAR
    """What one label stands for: `char`, `grapheme`, `subword` or `word` (any white-space token,
    so phones too)."""

    alphabet: tuple[str, ...] | None = None
    """The labels, without blank; every unit of the training text where not given."""

    subwords: int = Field(256, ge=8)
    """Pieces that sentencepiece learns from the training text, for `subword`."""

    direction: Direction = Direction.LTR
    """Writing direction of the script: `ltr` or `rtl`; text is always in logical order."""

    _known_rules = field_validator("rules")(_check_text_rules)

    def named_alphabet(self) -> Alphabet | None:
        """Return the alphabet of `alphabet`; None where the training text is to say it.

        Subwords are always learned from the text.
        """
        if self.alphabet is None or self.unit is Unit.SUBWORD:
            return None
        return alphabet_of_labels(self.alphabet, unit=self.unit, direction=self.direction)


class ScoreConfig(Section):
    """How errors are counted. Section `score` of a run's YAML file."""

    rules: tuple[str, ...] = DEFAULT_RULES
    """Text rules of the normalised score, applied to reference and output alike; docs/scoring.md
    has them all."""

    _known_rules = field_validator("rules")(_check_score_rules)


class _Dumper(yaml.SafeDumper):
    """Quotes text that cannot be seen: YAML folds some of it, as U+0085, into a space."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


class RunConfig(Section):
    """Everything that decides what a run does, whatever it reads.

    `parse_config` makes one of the classes below, by `frontend.kind`.
    """

    seed: int = Field(1, ge=0)
    """Of every random draw."""

    data: DataConfig = DataConfig()
    text: TextConfig = TextConfig()
    frontend: Frontend = FrontendConfig()
    augment: Augment = AugmentConfig()
    encoder: EncoderConfig = EncoderConfig()
    heads: HeadsConfig = HeadsConfig()
    optim: OptimConfig = OptimConfig()
    training: TrainingConfig = TrainingConfig()
    decode: DecodeConfig = DecodeConfig()
    score: ScoreConfig = ScoreConfig()

    @model_validator(mode="after")
    def _layers_share_the_head(self) -> Self:
        encoder, layers = self.encoder, self.heads.ctc.intermediate_layers
        if list(layers) != sorted({*layers} & {*range(1, encoder.layers)}):
            raise ValueError(
                f"heads.ctc.intermediate_layers {list(layers)}: give rising numbers of layers, "
                f"from 1 to the last but one of {encoder.layers}"
            )
        sizes = {encoder.output_sizes[number - 1] for number in (*layers, encoder.layers)}
        if len(sizes) > 1 or (layers and encoder.skip in (SkipKind.DENSE, SkipKind.TO_OUTPUT)):
            raise ValueError(
                f"heads.ctc.intermediate_layers {list(layers)} share the output layer with the "
                f"last, but give another number of values; set encoder.projection, or leave "
                f"encoder.skip at none or residual"
            )
        return self

    @model_validator(mode="after")
    def _some_head(self) -> Self:
        heads = self.heads
        if not (heads.write_text or heads.frame.is_present or heads.utterance.is_present):
            raise ValueError(
                "heads: none is left, since heads.ctc.weight is 0; name heads.utterance.field or "
                "heads.frame.field, or give heads.ctc.weight or heads.attention.weight 1"
            )
        if not heads.write_text and self.decode.weighs_words:
            raise ValueError(
                "decode: a language model, lexicon or hotwords need text, and heads.ctc.weight 0 "
                "leaves no head that writes it; take them out, or give heads.ctc.weight 1"
            )
        return self

    @model_validator(mode="after")
    def _gradients_cut_forwards(self) -> Self:
        if self.training.bptt_frames is not None and self.encoder.directions is Directions.BOTH:
            raise ValueError(
                "training.bptt_frames cuts what is carried forwards, and a backward direction "
                "starts at the last frame: set encoder.directions=forwards, or leave it out"
            )
        return self

    def to_yaml(self) -> str:
        """Return the whole configuration, defaults included, as YAML."""
        values = self.model_dump(mode="json")
        return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)

    def num_encoder_frames(self, num_positions: int) -> int:
        """Return T' for N positions of a signal: what CTC aligns labels with."""
        return self.encoder.num_frames(self.frontend.num_frames(num_positions))

    @property
    def frame_shift(self) -> float:
        """From one frame of the encoder's output to the next: seconds, points or pixels."""
        return self.frontend.hop * self.encoder.frames_per_output / self.frontend.rate

    @property
    def medium(self) -> Medium[Any, Any]:
        """What reads and varies items."""
        return make_medium(self.frontend, self.augment)

    @property
    def modality(self) -> Modality:
        """What items are."""
        return self.medium.modality


class SpeechConfig(RunConfig):
    """A run that learns from recordings."""

    frontend: FrontendConfig = FrontendConfig()
    augment: AugmentConfig = AugmentConfig()

    @model_validator(mode="after")
    def _warp_spectra_only(self) -> Self:
        bent = self.augment.response_db > 0 or self.augment.warp != (1, 1)
        if bent and self.frontend.kind is FrontendKind.MFCC:
            raise ValueError(
                "augment.warp and augment.response_db act on spectra; with frontend.kind mfcc "
                "leave them at [1, 1] and 0"
            )
        return self

    @model_validator(mode="after")
    def _frames_keep_their_place(self) -> Self:
        if self.heads.frame.is_present and self.augment.trim_probability > 0:
            raise ValueError(
                f"augment.trim_probability {self.augment.trim_probability:g} moves what "
                f"{self.heads.frame.field!r} (heads.frame.field) says of frames; set it to 0"
            )
        return self

    @model_validator(mode="after")
    def _classes_outlast_joining(self) -> Self:
        field = self.heads.utterance.field
        if field not in (None, "speaker") and self.augment.join_items > 1:
            raise ValueError(
                f"augment.join_items {self.augment.join_items} joins recordings of one speaker, of "
                f"which each has its own {field!r} (heads.utterance.field); set "
                f"augment.join_items=1"
            )
        return self


class WritingConfig(RunConfig):
    """A run that learns from handwriting, in whatever form."""

    @model_validator(mode="after")
    def _frames_are_of_recordings(self) -> Self:
        if self.heads.frame.is_present:
            raise ValueError(
                f"heads.frame.field {self.heads.frame.field!r}: what is heard when counts in "
                f"seconds, which only recordings have; leave it out"
            )
        return self


class InkConfig(WritingConfig):
    """A run that learns from pen strokes."""

    frontend: InkFrontendConfig = InkFrontendConfig()
    augment: InkAugmentConfig = InkAugmentConfig()


class ImageConfig(WritingConfig):
    """A run that learns from images of lines."""

    frontend: ImageFrontendConfig = ImageFrontendConfig()
    augment: ImageAugmentConfig = ImageAugmentConfig()

    @model_validator(mode="before")
    @classmethod
    def _read_as_written(cls, values: Any) -> Any:
        """Mirror what is written from right to left, unless told."""
        match values:
            case {"text": {"direction": Direction.RTL}, "frontend": {**frontend}}:
                return {**values, "frontend": {"mirror": True, **frontend}}
        return values


RUN_CONFIGS: Mapping[Modality, type[RunConfig]] = {
    Modality.AUDIO: SpeechConfig,
    Modality.INK: InkConfig,
    Modality.IMAGE: ImageConfig,
}
_CLASS_OF_KIND = {
    kind: section
    for section in (InkConfig, ImageConfig)
    for kind in get_args(type(section().frontend).model_fields["kind"].annotation)
}


def config_class(values: Mapping[str, Any]) -> type[RunConfig]:
    """Return the class of a configuration, by `frontend.kind`."""
    frontend = values.get("frontend")
    kind = frontend.get("kind") if isinstance(frontend, Mapping) else None
    return _CLASS_OF_KIND.get(kind, SpeechConfig) if isinstance(kind, str) else SpeechConfig


def load_config(source: str | Path, *, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a configuration: a YAML file, or the name of one that ships with ctcasr.

    Args:
        source: path or packaged name.
        overrides: `key.path=value` each, the value in YAML.

    Raises:
        ConfigError: no such file, broken YAML, an unknown key, a value that cannot be.
    """
    name, text = _read_source(source)
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {' '.join(str(error).split())}") from error
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(
            f"{name}: holds {type(values).__name__}; give sections of keys and values"
        )
    return parse_config(values, name=name, overrides=overrides)


def parse_config(
    values: Mapping[str, Any], *, name: str = "configuration", overrides: Sequence[str] = ()
) -> RunConfig:
    """Check plain values; see `load_config`.

    Raises:
        ConfigError: an unknown key, or a value that cannot be.
    """
    merged = copy.deepcopy(dict(values))
    for override in overrides:
        _apply_override(merged, override)
    section = config_class(merged)
    return parse_section(section, values, name=name, overrides=overrides)


def parse_section(
    section: type[_Section],
    values: Mapping[str, Any],
    *,
    name: str = "configuration",
    overrides: Sequence[str] = (),
) -> _Section:
    """Check plain values for any section, a whole configuration among them.

    Args:
        section: what they are for.
        values: by key, sections inside sections.
        name: where they are from, for messages.
        overrides: `key.path=value` each, the value in YAML.

    Raises:
        ConfigError: an unknown key, or a value that cannot be.
    """
    _check_keys(values, section, name)
    merged = copy.deepcopy(dict(values))
    for override in overrides:
        _apply_override(merged, override)
    _check_keys(merged, section, "--set")
    try:
        # Through JSON, because a YAML date is text to us.
        return section.model_validate(json.loads(json.dumps(merged, default=str)))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        found = f", found {first['input']!r}" if not isinstance(first["input"], dict) else ""
        message = first["msg"].removeprefix("Value error, ")
        where = f"{name}: {key}" if key else name
        raise ConfigError(f"{where}: {message}{found}") from error


def packaged_configs() -> list[str]:
    """Return the names of the configurations that ship with ctcasr."""
    folder = resources.files("ctcasr") / "configs"
    return sorted(Path(f.name).stem for f in folder.iterdir() if f.name.endswith(".yaml"))


def describe_keys(
    section: type[BaseModel] = SpeechConfig, prefix: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    """Yield (key, type, default, meaning) for every key, in order: the configuration reference."""
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from describe_keys(inner, f"{prefix}{name}.")
            continue
        default = json.dumps(section().model_dump(mode="json")[name], ensure_ascii=False)
        meaning = " ".join((field.description or "").split())
        yield f"{prefix}{name}", _describe_type(inner), default, meaning


def _describe_type(kind: Any) -> str:
    """Return a type as a writer of YAML sees it: choices, lists in brackets."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _describe_type(parts[0])
    if origin is Literal:
        return " | ".join(parts)
    inner = [_describe_type(part) for part in parts if part is not Ellipsis]
    if origin is UnionType:
        return " | ".join(inner)
    if origin is dict:
        return f"{{{inner[0]}: {inner[1]}, ...}}"
    if origin is tuple:
        return f"[{', '.join(inner)}{', ...' if Ellipsis in parts else ''}]"
    if issubclass(kind, StrEnum):
        return " | ".join(kind)
    return "null" if kind is NoneType else str(kind.__name__)


def _read_source(source: str | Path) -> tuple[str, str]:
    path = Path(source)
    if path.is_file():
        try:
            return str(source), path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{source}: cannot be read as UTF-8 text ({error})") from error
    names = packaged_configs()
    if str(source) in names:
        packaged = resources.files("ctcasr") / "configs" / f"{source}.yaml"
        return f"packaged configuration {source}", packaged.read_text(encoding="utf-8")
    raise ConfigError(
        f"{source}: no such configuration file, nor a packaged one; there are: {', '.join(names)}"
    )


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: give KEY=VALUE, as in --set optim.peak_lr=3e-4")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not YAML") from error
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)  # YAML reads 3e-4, without a point, as text
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {override}: {section} is a value, not a section")
    values[last] = value


def _check_keys(
    values: Mapping[str, Any], section: type[BaseModel], name: str, prefix: str = ""
) -> None:
    """Refuse keys that no section has, and name the nearest that one does."""
    for key, value in values.items():
        if key not in section.model_fields:
            near = difflib.get_close_matches(str(key), section.model_fields, n=1, cutoff=0.5)
            known = ", ".join(section.model_fields) or "none"
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {known}"
            raise ConfigError(f"{name}: {prefix}{key}: unknown key; {hint}")
        inner = section.model_fields[key].annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            if not isinstance(value, Mapping):
                raise ConfigError(
                    f"{name}: {prefix}{key}: a section of keys is needed, found {value!r}"
                )
            _check_keys(value, inner, name, f"{prefix}{key}.")
