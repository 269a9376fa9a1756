"""TextDecoder: the search that decode settings ask for, built once and used for every batch.

Settings name files, a search holds what is in them. This is where a language model or lexicon is
found, in a file or inside the model file, held against the SHA-256 that is asked for, and described
for transcripts and results. What is needed and not there is refused: text decoded without it would
look the same and be worse.
"""

import hashlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctcasr.alphabet import Alphabet, frames_needed
from ctcasr.decode_config import EMBEDDED, DecodeConfig, SearchKind, Segmenting, choose_search
from ctcasr.decoding import (
    Hypothesis,
    NgramModel,
    PrefixBeamDecoder,
    StreamingDecoder,
    best_path,
)
from ctcasr.decoding.arpa import parse_arpa
from ctcasr.decoding.attention_beam import AttentionBeamDecoder, Proposer
from ctcasr.decoding.attention_search import LabelModel
from ctcasr.decoding.greedy import BestPathStream
from ctcasr.decoding.hypothesis import Times
from ctcasr.decoding.ngram import SPACE
from ctcasr.decoding.prefix_beam import Rescore
from ctcasr.decoding.tokens import RECURRENT_SUFFIX
from ctcasr.errors import ConfigError, CtcasrError, LanguageModelError, LexiconError
from ctcasr.files import open_bytes
from ctcasr.models.ctc import ctc_loss
from ctcasr.models.heads import CTC_ONLY, HeadsConfig
from ctcasr.recurrent_lm import RecurrentLm, parse_recurrent_lm
from ctcasr.text_rules import apply_rules

KINDS: Mapping[str, tuple[str, type[CtcasrError]]] = {
    "lm": ("language model", LanguageModelError),
    "lexicon": ("lexicon", LexiconError),
    "rescore": ("recurrent language model", LanguageModelError),
}
"""The settings that name a file: what it is, and the error of one that cannot be used."""

LabelModels = Callable[[Sequence[Tensor]], LabelModel]
"""(T', F) encoder frames of some items -> their attention decoder, asked step by step."""

_PROPOSERS = {
    SearchKind.ATTENTION: Proposer.ATTENTION,
    SearchKind.JOINT: Proposer.BOTH,
    SearchKind.CTC_FIRST: Proposer.CTC,
    SearchKind.ATTENTION_FIRST: Proposer.ATTENTION,
}
_WORDS_SHOWN = 3


class Emissions(NamedTuple):
    """What a search is given of some items, in the order in which `TextDecoder` takes it.

    Attributes:
        log_probs: (T', V) natural logs each; V is 0 of a model without a CTC head, T' of silence.
        encoded: (T', F) encoder frames of each, where there is an attention decoder.
    """

    log_probs: Sequence[NDArray[np.float32]]
    encoded: Sequence[Tensor] = ()


@dataclass(frozen=True, slots=True)
class ModelPart:
    """A language model or lexicon that belongs to a model.

    Attributes:
        name: of the file it came from, without folder.
        sha256: of that file's bytes.
        content: the bytes; None where the model only names the file.
    """

    name: str
    sha256: str
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class WordSources:
    """What the search knows beside the network's output.

    Attributes:
        parts: name, hash and bytes of what there is, by setting; bytes only where they lie in the
            model file.
        paths: files, by setting, where they do not.
        lm: the language model.
        lexicon: its file, or its lines.
        rescorer: the recurrent language model that weighs what the search ends with.
    """

    parts: Mapping[str, ModelPart]
    paths: Mapping[str, Path]
    lm: NgramModel | RecurrentLm | None = None
    lexicon: Path | tuple[str, ...] | None = None
    rescorer: RecurrentLm | None = None

    def read_bytes(self, kind: str) -> bytes:
        """Return the bytes of "lm", "lexicon" or "rescore".

        Raises:
            LanguageModelError, LexiconError: the file has changed since it was read.
        """
        part = self.parts[kind]
        if part.content is not None:
            return part.content
        again = _read_part(kind, self.paths[kind])
        if again.sha256 != part.sha256:
            what, error = KINDS[kind]
            raise error(f"{self.paths[kind]}: this {what} has changed meanwhile; start again")
        return again.content or b""


class TextDecoder:
    """Best path, prefix beam, or attention beam, with all that the settings ask for.

    Args:
        decode: the settings.
        alphabet: the model's labels.
        sources: what `read_sources` found for them.
        workers: items of a batch searched at a time; 0 counts as 1.
        with_confidence: whether hypotheses have posteriors.
        temperature: fitted for this search, see `PrefixBeamDecoder`; None where none was.
        certify: whether to prove that nothing is more probable; see there.
        heads: of the model.
        attention: its attention decoder, where that takes part and something is to be decoded.

    Raises:
        ConfigError: settings that do not go together.
        LanguageModelError, LexiconError, HotwordError: words that the labels cannot write.
    """

    def __init__(
        self,
        decode: DecodeConfig,
        alphabet: Alphabet,
        sources: WordSources,
        *,
        workers: int = 1,
        with_confidence: bool = True,
        temperature: float | None = None,
        certify: bool = False,
        heads: HeadsConfig = CTC_ONLY,
        attention: LabelModels | None = None,
    ) -> None:
        try:
            self.search = choose_search(decode.search, heads)
            """Which heads take part; not `auto`."""
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if decode.compare and not (heads.ctc.is_present and heads.attention.is_present):
            raise ConfigError(
                "decode.compare needs heads.ctc and heads.attention, and the model has one of "
                "them; set decode.compare=false"
            )
        self.description = describe_decoder(decode, sources.parts, heads=heads)
        """The search and its settings, as transcripts and results name them."""
        self.confidence_kind = "posterior" if temperature is None else "calibrated"
        """What the confidences of hypotheses are, where they have any."""
        self.notes: tuple[str, ...] = ()
        """What a user should know of it, a line each."""
        self._alphabet = alphabet
        self._search: PrefixBeamDecoder | AttentionBeamDecoder | None = None
        self._attention = attention
        self._has_ctc = heads.ctc.is_present
        if decode.beam == 0 and not self.search.needs_attention:
            return
        rescore: Rescore | None = None
        if sources.rescorer is not None:
            _require_common_spelling(sources.rescorer, alphabet)
            rescore = partial(
                _weigh_texts, sources.rescorer, gamma=decode.gamma, delta=decode.delta
            )
        settings: dict[str, Any] = {
            "beam": max(1, decode.beam),
            "threshold": decode.threshold,
            "lm": sources.lm,
            "lm_unit": decode.lm_unit,
            "lexicon": sources.lexicon,
            "open_vocabulary": decode.is_open,
            "hotwords": decode.hotwords,
            "alpha": decode.alpha,
            "beta": decode.beta,
            "unknown": decode.unknown,
            "nbest": decode.nbest,
            "confidence": with_confidence and decode.beam > 0,
            "temperature": 1.0 if temperature is None else temperature,
            "rescore": rescore,
        }
        try:
            if self.search.needs_attention:
                self._search = AttentionBeamDecoder(
                    alphabet,
                    proposer=_PROPOSERS[self.search],
                    ctc_weight=_share_of_ctc(decode, self.search),
                    length_power=decode.length_power,
                    labels_per_frame=decode.labels_per_frame,
                    **settings,
                )
            else:
                self._search = PrefixBeamDecoder(
                    alphabet,
                    label_threshold=decode.label_threshold,
                    certify=certify,
                    workers=max(1, workers),
                    **settings,
                )
        except ValueError as error:
            raise ConfigError(f"decode: {error}") from error
        if sources.lm is not None and self._search.unwritten_words:
            self.notes = (_describe_unwritten(sources.lm, self._search.unwritten_words),)

    def __call__(
        self, items: Sequence[NDArray[np.float32]], encoded: Sequence[Tensor] = ()
    ) -> list[list[Hypothesis]]:
        """Return the hypotheses of each item, best first.

        Args:
            items: (T', V) natural logs each; V is 0 of a model without a CTC head.
            encoded: (T', F) encoder frames of each, where attention takes part.
        """
        if self._search is None:
            return [[best_path(item, self._alphabet)] for item in items]
        if isinstance(self._search, AttentionBeamDecoder):
            return self._write(self._search, items, encoded)
        lengths = [len(item) for item in items]
        padded = np.zeros((len(items), max(lengths, default=0), len(self._alphabet)), np.float32)
        for row, item in zip(padded, items, strict=True):
            row[: len(item)] = item
        return self._search(padded, lengths)

    def _write(
        self,
        search: AttentionBeamDecoder,
        items: Sequence[NDArray[np.float32]],
        encoded: Sequence[Tensor],
    ) -> list[list[Hypothesis]]:
        """Return what the attention decoder finds; where there are no frames, nothing was said."""
        heard = [at for at, item in enumerate(items) if len(item)]
        found: list[list[Hypothesis]] = [[_nothing_said()] for _ in items]
        if heard:
            model = self._models([encoded[at] for at in heard])
            chosen = [items[at] for at in heard]
            texts = search(model, list(map(len, chosen)), chosen if self._has_ctc else None)
            for at, hypotheses in zip(heard, texts, strict=True):
                found[at] = hypotheses
        return found

    def _models(self, encoded: Sequence[Tensor]) -> LabelModel:
        if self._attention is None or not len(encoded):
            raise ConfigError(
                f"decode.search {self.search}: attention looks at the encoder's frames, and this "
                f"command has log-probabilities alone; set decode.search=ctc"
            )
        return self._attention(encoded)

    def stream(self) -> BestPathStream | StreamingDecoder:
        """Begin a search that is given its frames bit by bit, and ends where `__call__` does.

        Raises:
            ConfigError: the search needs all frames beforehand.
        """
        if self._search is None:
            return BestPathStream(self._alphabet)
        if isinstance(self._search, AttentionBeamDecoder):
            raise ConfigError(
                f"decode.search {self.search}: attention looks at the whole recording, and a "
                f"stream has not ended; set decode.search=ctc"
            )
        return self._search.stream()

    def score(
        self,
        texts: Sequence[tuple[int, ...] | None],
        log_probs: NDArray[np.float32],
        encoded: Tensor | None = None,
    ) -> list[float]:
        """Return what the search maximises, of each of some texts of an item.

        Args:
            texts: labels; None of one that they cannot write, which scores minus infinity.
            log_probs: (T', V) natural logs of the item.
            encoded: (T', F) encoder frames, where attention takes part.
        """
        search, scores = self._search, [-math.inf] * len(texts)
        known = [(at, labels) for at, labels in enumerate(texts) if labels is not None]
        if isinstance(search, AttentionBeamDecoder):
            if not len(log_probs):
                return [-math.inf if labels else 0.0 for labels in texts]
            model = self._models([] if encoded is None else [encoded])
            (found,) = search.score(
                model, [[labels for _, labels in known]], [log_probs] if self._has_ctc else None
            )
            for (at, _), score in zip(known, found, strict=True):
                scores[at] = score
            return scores
        for at, labels in known:
            if frames_needed(labels) <= len(log_probs):
                worth = 0.0 if search is None else search.worth(labels)
                scores[at] = worth - self._ctc_loss(labels, log_probs)
        return scores

    def _ctc_loss(self, labels: tuple[int, ...], log_probs: NDArray[np.float32]) -> float:
        loss = ctc_loss(
            torch.from_numpy(log_probs[None].astype(np.float64)),
            torch.tensor([len(log_probs)]),
            torch.tensor([labels], dtype=torch.int64).reshape(1, -1),
            torch.tensor([len(labels)]),
            blank=self._alphabet.blank,
        )
        return float(loss)


class HeadsApart:
    """What each of a model's two heads writes alone, without language model or lexicon.

    Args:
        alphabet: the model's labels.
        heads: of the model; both write text.
        attention: its attention decoder.
        beam: of the attention decoder; CTC takes the best path.
    """

    def __init__(
        self, alphabet: Alphabet, *, heads: HeadsConfig, attention: LabelModels | None, beam: int
    ) -> None:
        def alone(**settings: Any) -> TextDecoder:
            nothing = WordSources({}, {})
            decode = DecodeConfig(**settings)
            return TextDecoder(
                decode,
                alphabet,
                nothing,
                with_confidence=False,
                heads=heads,
                attention=attention,
            )

        self._ctc = alone(search=SearchKind.CTC)
        self._attention = alone(search=SearchKind.ATTENTION, beam=max(1, beam))

    def __call__(
        self, items: Sequence[NDArray[np.float32]], encoded: Sequence[Tensor]
    ) -> list[tuple[str, str]]:
        """Return the texts of each item: by CTC, by attention; see `TextDecoder.__call__`."""
        texts = [
            [found[0].text for found in decoder(items, encoded)]
            for decoder in (self._ctc, self._attention)
        ]
        return list(zip(*texts, strict=True))


def read_sources(decode: DecodeConfig, parts: Mapping[str, ModelPart]) -> WordSources:
    """Find and read the language model and lexicon that decode settings ask for.

    Args:
        decode: the settings.
        parts: what belongs to the model.

    Raises:
        LanguageModelError, LexiconError: one is not there, cannot be read, or is not the one whose
            SHA-256 is asked for.
    """
    found: dict[str, ModelPart] = {}
    paths: dict[str, Path] = {}
    for kind in KINDS:
        path = getattr(decode, kind)
        if path is None:
            _require_unneeded(decode, kind, parts.get(kind))
        elif path == EMBEDDED:
            found[kind] = _embedded(kind, parts.get(kind))
        else:
            paths[kind] = Path(path)
            found[kind] = _read_part(kind, paths[kind])
            _require_hash(decode, kind, path, found[kind], parts.get(kind))
    lm: NgramModel | RecurrentLm | None = None
    if "lm" in found:
        content, name = found["lm"].content or b"", str(paths.get("lm", found["lm"].name))
        if name.endswith(RECURRENT_SUFFIX):
            lm = parse_recurrent_lm(content, name=name)
        else:
            unpacked = open_bytes(io.BufferedReader(io.BytesIO(content)))
            lm = parse_arpa(unpacked, name=name)
    lexicon: Path | tuple[str, ...] | None = paths.get("lexicon")
    if "lexicon" in found and lexicon is None:
        lexicon = tuple((found["lexicon"].content or b"").decode("utf-8-sig").splitlines())
    rescorer: RecurrentLm | None = None
    if "rescore" in found:
        name = str(paths.get("rescore", found["rescore"].name))
        rescorer = parse_recurrent_lm(found["rescore"].content or b"", name=name)
    for kind in paths:  # the file need not stay in memory
        found[kind] = replace(found[kind], content=None)
    return WordSources(found, paths, lm, lexicon, rescorer)


def describe_decoder(
    decode: DecodeConfig,
    parts: Mapping[str, ModelPart],
    *,
    heads: HeadsConfig = CTC_ONLY,
) -> dict[str, Any]:
    """Return the search and its settings: all that decides what text comes out.

    Args:
        decode: the settings.
        parts: name and hash of language model and lexicon, where they take part.
        heads: of the model.

    Raises:
        ValueError: they cannot search so.
    """
    search = choose_search(decode.search, heads)
    if decode.beam == 0 and not search.needs_attention:
        return {"search": "best_path"}
    described: dict[str, Any] = {
        "search": "prefix_beam",
        "beam": max(1, decode.beam),
        "threshold": decode.threshold,
    }
    if search.needs_attention:
        described |= {
            "search": search.value,
            "length_power": decode.length_power,
            "labels_per_frame": decode.labels_per_frame,
        }
    if search.needs_attention and search.needs_ctc:
        described["ctc_weight"] = decode.ctc_weight
    if search.needs_attention and not heads.ctc.is_present:
        described["times"] = Times.ATTENTION.value
    if decode.segment is Segmenting.NONE:
        described["segment"] = decode.segment.value
    if decode.label_threshold and not search.needs_attention:
        described["label_threshold"] = decode.label_threshold
    for kind, part in parts.items():
        described[kind] = {"name": part.name, "sha256": part.sha256}
    if "lm" in parts:
        described |= {"lm_unit": decode.lm_unit.value, "alpha": decode.alpha}
    if "lm" in parts or "lexicon" in parts:
        described |= {
            "open_vocabulary": decode.is_open,
            "beta": decode.beta,
            "unknown": decode.unknown,
        }
    if decode.hotwords:
        described["hotwords"] = dict(decode.hotwords)
    if "rescore" in parts:
        described |= {"gamma": decode.gamma, "delta": decode.delta}
    return described


def _share_of_ctc(decode: DecodeConfig, search: SearchKind) -> float:
    return decode.ctc_weight if search.needs_ctc else 0.0


def _nothing_said() -> Hypothesis:
    return Hypothesis(
        labels=(), text="", log_prob=0.0, ctc_log_prob=0.0, find_words=tuple, confidence=1.0
    )


def _weigh_texts(
    lm: RecurrentLm, texts: Sequence[str], *, gamma: float, delta: float
) -> list[float]:
    """Return what texts are worth to a recurrent language model, in nats."""
    return [
        gamma * log_prob + delta * len(text.split())
        for text, log_prob in zip(texts, lm.log_probs(texts), strict=True)
    ]


def _require_common_spelling(lm: RecurrentLm, alphabet: Alphabet) -> None:
    """Refuse a model none of whose words the labels can write, as one in another case."""
    written = [label for k, label in enumerate(alphabet.labels) if k != alphabet.blank]
    letters = set(apply_rules(" ".join(written), lm.tokens.rules))
    words = [word for word in lm.known_words() if word != SPACE]
    if words and not any(letters.issuperset(word) for word in words):
        raise LanguageModelError(
            f"{lm.name}: the recognizer's labels can write none of its {len(words):,} tokens, such "
            f"as {words[0]!r}; make a model of text in the recognizer's spelling and case"
        )


def _describe_unwritten(lm: NgramModel | RecurrentLm, unwritten: Sequence[str]) -> str:
    shown = ", ".join(map(repr, unwritten[:_WORDS_SHOWN]))
    return (
        f"{lm.name}: {len(unwritten):,} of {len(lm.known_words()):,} words cannot be written with "
        f"the recognizer's labels, such as {shown}; they are never recognized"
    )


def _embedded(kind: str, part: ModelPart | None) -> ModelPart:
    what, error = KINDS[kind]
    if part is None or part.content is None:
        raise error(f"decode.{kind}: the model file holds no {what}; name a file: --{kind} FILE")
    return part


def _require_unneeded(decode: DecodeConfig, kind: str, part: ModelPart | None) -> None:
    """Refuse to search without a file whose hash is asked for."""
    needed = getattr(decode, f"{kind}_sha256")
    if needed is None:
        return
    what, error = KINDS[kind]
    named = f" {part.name}" if part and part.sha256 == needed else ""
    raise error(
        f"decoding needs the {what}{named} (SHA-256 {needed}), which is not in the model file; "
        f"give it: --{kind} FILE, or do without: --set decode.{kind}_sha256=null"
    )


def _require_hash(
    decode: DecodeConfig, kind: str, path: str, given: ModelPart, part: ModelPart | None
) -> None:
    needed = getattr(decode, f"{kind}_sha256")
    if needed in (None, given.sha256):
        return
    what, error = KINDS[kind]
    named = f"{part.name}, " if part and part.sha256 == needed else ""
    raise error(
        f"{path}: another {what} than decoding needs: its SHA-256 is {given.sha256}, needed is "
        f"{named}{needed}; give that one, or allow any: --set decode.{kind}_sha256=null"
    )


def _read_part(kind: str, path: Path) -> ModelPart:
    what, error = KINDS[kind]
    try:
        content = path.read_bytes()
    except OSError as cause:
        raise error(
            f"{path}: no {what} that can be read ({cause.strerror or cause}); check the path"
        ) from cause
    return ModelPart(path.name, hashlib.sha256(content).hexdigest(), content)
