"""How text is searched for: section `decode` of a run's YAML file, and of a model file."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from ctcasr.decoding.context import LmUnit
from ctcasr.models.heads import HeadsConfig
from ctcasr.settings import Section


class SearchKind(StrEnum):
    """Which heads look for the text."""

    AUTO = "auto"
    CTC = "ctc"
    ATTENTION = "attention"
    JOINT = "joint"
    CTC_FIRST = "ctc_first"
    ATTENTION_FIRST = "attention_first"

    @property
    def needs_ctc(self) -> bool:
        """Whether the CTC head takes part."""
        return self not in (SearchKind.AUTO, SearchKind.ATTENTION)

    @property
    def needs_attention(self) -> bool:
        """Whether the attention decoder takes part."""
        return self not in (SearchKind.AUTO, SearchKind.CTC)


def choose_search(search: SearchKind, heads: HeadsConfig) -> SearchKind:
    """Return how a model with some heads searches; not `auto`.

    Raises:
        ValueError: a head that takes part is not there.
    """
    has_ctc, has_attention = heads.ctc.is_present, heads.attention.is_present
    missing = []
    if search.needs_ctc and not has_ctc:
        missing.append("heads.ctc")
    if search.needs_attention and not has_attention:
        missing.append("heads.attention")
    if missing:
        raise ValueError(
            f"decode.search {search} needs {' and '.join(missing)}, whose weight is 0; set "
            f"decode.search=auto, or train with a weight above 0"
        )
    if search is not SearchKind.AUTO:
        return search
    if has_ctc and has_attention:
        return SearchKind.JOINT
    return SearchKind.ATTENTION if has_attention else SearchKind.CTC


class Segmenting(StrEnum):
    """Whether long recordings are cut before they are searched."""

    AUTO = "auto"
    NONE = "none"


EMBEDDED = "embedded"
"""Stands for a path where the language model or lexicon lies in the model file itself."""
DEFAULT_BEAM = 64

Boost = Annotated[float, Field(gt=0)]


class DecodeConfig(Section):
    """How text is searched for. Section `decode` of a run's YAML file."""

    search: SearchKind = SearchKind.AUTO
    """Which heads look for the text: `ctc`, `attention`, or `joint`, both in one pass; or one
    proposes texts and both weigh them, `ctc_first` or `attention_first`. `auto` takes what the
    model has."""

    ctc_weight: float = Field(0.3, ge=0, le=1)
    """Share of CTC in the score where both heads decide; attention has the rest."""

    length_power: float = Field(0.5, ge=0)
    """With attention: texts are ranked by their score divided by this power of their number of
    labels; 1 is the mean per label, 0 the score itself, which prefers short texts."""

    labels_per_frame: float = Field(1.0, gt=0)
    """With attention: most labels per frame of the encoder's output, and ten more; a text that
    would be longer is cut there, and marked."""

    compare: bool = False
    """Whether each head also writes alone, so that JSON lines say in `disagreement` by how much
    they differ, 0 to 1: a sign of a wrong text. Needs both heads; `evaluate` always does."""

    beam: int = Field(0, ge=0)
    """Prefixes kept by prefix beam search; 0 takes the best path. Where not given, 64 with `lm`,
    `lexicon`, `hotwords`, `rescore` or several `nbest`. With attention, hypotheses; 0 is 1."""

    threshold: float = Field(1e-6, ge=0, lt=1)
    """Extensions with less than this share of the best prefix's probability are dropped."""

    label_threshold: float = Field(0.0, ge=0, lt=1)
    """Labels less probable than this in a frame extend no prefix."""

    nbest: int = Field(1, ge=1)
    """Hypotheses given for each item; needs a beam of at least as many."""

    lm: str | None = None
    """ARPA file of an n-gram language model, plain or gzip, or the .safetensors file of a recurrent
    one, with which NumPy searches, slowly; a relative path counts from the working folder.
    `embedded` is the one inside the model file."""

    lm_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """The only file that `lm` may be; without `lm`, one that must be given. null takes any."""

    lm_unit: LmUnit = LmUnit.WORD
    """What the language model counts: `word` or `label`; a recurrent one counts labels."""

    lexicon: str | None = None
    """File of the words that may be said, one a line, or `embedded`. Without it the language
    model's words are preferred, and others are spelt out at a cost."""

    lexicon_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """The same for `lexicon`."""

    open_vocabulary: bool | None = None
    """Whether words outside the lexicon may be spelt out; null: unless `lexicon` is given."""

    hotwords: dict[str, Boost] = Field({})
    """Words or phrases to prefer, each with its boost in nats: 5 makes it 148 times as probable."""

    segment: Segmenting = Segmenting.AUTO
    """`auto`: recordings of more than a minute are heard and searched in parts, from pause to
    pause; what has no pause for a minute is heard whole. `none` never cuts, whatever the length."""

    rescore: str | None = None
    """File of a recurrent language model (`ctcasr lm train --rnn`) that weighs every text the beam
    ends with; `embedded` is the one inside the model file."""

    rescore_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """The same for `rescore` as `lm_sha256` for `lm`."""

    gamma: float = Field(0.3, ge=0)
    """Weight of the natural-log probabilities that `rescore` gives to whole texts."""

    delta: float = 0.0
    """Nats for every word of a text where `rescore` weighs it: it finds long texts improbable."""

    alpha: float = Field(0.5, ge=0)
    """Weight of the language model's natural-log probabilities."""

    beta: float = 0.0
    """Nats for every word of language model or lexicon; every label where labels are counted."""

    unknown: float = Field(0.0, le=0)
    """Nats for every word outside lexicon or language model, beside what spelling it costs."""

    @property
    def is_open(self) -> bool:
        """Whether words outside the lexicon may be spelt out."""
        return self.lexicon is None if self.open_vocabulary is None else self.open_vocabulary

    @property
    def weighs_words(self) -> bool:
        """Whether more than the network's output decides."""
        return _weighs_words(self.model_dump())

    @model_validator(mode="before")
    @classmethod
    def _choose_beam(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "beam" in values:
            return values
        nbest = values.get("nbest", 1)
        several = nbest if isinstance(nbest, int) and nbest > 1 else 0
        if _weighs_words(values) or several:
            return values | {"beam": max(DEFAULT_BEAM, several)}
        return values

    @model_validator(mode="after")
    def _enough_beam(self) -> Self:
        if self.beam == 0 and self.weighs_words:
            raise ValueError(
                "a beam of 0 is the best path, which heeds no language model, lexicon or hotwords; "
                f"give a beam, as in {DEFAULT_BEAM}, or leave them out, as in decode.lm=null"
            )
        if self.nbest > max(1, self.beam):
            raise ValueError(f"nbest {self.nbest} needs a beam of at least {self.nbest}")
        return self


def _weighs_words(values: Mapping[str, Any]) -> bool:
    files = ("lm", "lexicon", "rescore")
    keys = [f"{kind}{suffix}" for kind in files for suffix in ("", "_sha256")]
    return any(values.get(key) for key in [*keys, "hotwords"])
