"""Tune: the network computes once, the search runs with many settings, the best go into a model.

Weights first, at a beam of 64 (8 with attention): alpha and beta on a coarse grid; where attention
takes part, the share of CTC and how texts are ranked by length; then alpha and beta twice at half
the step around the best. Then, where a recurrent language model weighs what the beam ends with,
gamma and delta; at the best weights, beam and threshold; last, where words may be said that are in
no language model or lexicon, what such a word costs. Errors are counted as `evaluate` counts them
in its normalised score. Best is the fewest word errors; among equals the fewest character errors,
then the narrower beam, the higher threshold and the smaller weights; the cost of unknown words and
the recurrent model come in for fewer errors only. Some sixty searches in all, eighty with such a
model or with attention; what is fixed is not searched.
"""

import copy
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctcasr.bundle import save_recognizer
from ctcasr.decode_config import DEFAULT_BEAM, DecodeConfig, SearchKind, choose_search
from ctcasr.decoder import TextDecoder
from ctcasr.errors import ManifestError, OutputError
from ctcasr.items import Item
from ctcasr.manifest import Utterance
from ctcasr.pipeline.emissions import EmissionStore
from ctcasr.pipeline.inputs import read_labelled
from ctcasr.pipeline.provenance import ctcasr_version
from ctcasr.pipeline.transcribe import run_inputs
from ctcasr.recognizer import Recognizer
from ctcasr.scoring import ErrorCounts, count_errors
from ctcasr.text_rules import apply_rules_to_pair
from ctcasr.transcript import Transcript

ALPHAS, BETAS = (0.0, 0.5, 1.0, 1.5, 2.0), (0.0, 2.0, 4.0, 6.0, 8.0)
STEPS = ((0.25, 1.0), (0.125, 0.5))
"""Of alpha and beta, in the rounds of refinement."""
BEAMS: Sequence[int] = (8, 16, 32, 64, 128, 256)
THRESHOLDS = (1e-3, 1e-4, 1e-6)
ATTENTION_BEAM = 8
ATTENTION_BEAMS: Sequence[int] = (2, 4, 8, 16, 32)
"""With an attention decoder, where each place in the beam costs a step of it for every label."""
CTC_WEIGHTS, LENGTH_POWERS = (0.1, 0.2, 0.3, 0.5, 0.7), (0.0, 0.5, 1.0)
UNKNOWNS = (-10.0, -5.0, -2.0, 0.0)
GAMMAS, DELTAS = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0), (0.0, 1.0, 2.0)
_SEARCHES = (
    len(ALPHAS) * len(BETAS) + 8 * len(STEPS) + len(BEAMS) * len(THRESHOLDS) - 1 + len(UNKNOWNS) - 1
)

_USUAL = DecodeConfig()

Progress = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Recordings as the network heard them, and what was said.

    Attributes:
        emissions: of every recording that could be read; references: their texts.
        rules: the text rules that the model is scored by.
        failed: id and reason of the others.
        without_text: the items that were left out.
    """

    emissions: EmissionStore
    references: tuple[str, ...]
    rules: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    without_text: tuple[Utterance, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting of the search: its errors, and the seconds it took."""

    decode: DecodeConfig
    word: ErrorCounts
    char: ErrorCounts
    seconds: float

    def rank(self) -> tuple[float, ...]:
        """Return what the least of is best."""
        decode = self.decode
        weights: tuple[float, ...] = (decode.alpha, abs(decode.beta))
        if decode.rescore is not None:
            weights += (decode.gamma, abs(decode.delta))
        weights += (abs(decode.ctc_weight - _USUAL.ctc_weight), decode.length_power)
        errors = (self.word.errors, self.char.errors)
        return (*errors, decode.beam, -decode.threshold, *weights)


@dataclass(frozen=True, slots=True)
class Tuned:
    """All settings that were tried, in order.

    Attributes:
        best_path: the errors without any search, to compare with; where attention takes part, those
            of a beam of one.
        trials: with the search; best: one of them.
    """

    best_path: Trial
    trials: tuple[Trial, ...]
    best: Trial


def hear(
    recognizer: Recognizer,
    manifest: Path,
    emissions: EmissionStore,
    *,
    batch_size: int | None = None,
    workers: int = 2,
    progress: Progress = _silent,
) -> Heard:
    """Compute what the search is given of a manifest's recordings.

    Args:
        recognizer: the model.
        manifest: recordings with texts; items without one are left out.
        emissions: where to keep them; empty.
        batch_size: most recordings computed together.
        workers: threads that read recordings ahead.
        progress: told how many of how many recordings are done.

    Raises:
        ManifestError: it cannot be read, or no item has a text or can be heard.
    """
    inputs, without_text = read_labelled(
        manifest, why="to tune on; give recordings whose words are known"
    )
    rules = recognizer.config.score.rules

    def keep(recordings: Sequence[Item], most: int | None) -> list[Transcript]:
        emissions.append(recognizer.emissions(recordings, batch_size=most))
        model = recognizer.describe_model()
        return [Transcript(id=r.id, source=r.source, model=model, decoder={}) for r in recordings]

    references, failed = [], []
    for done, (item, transcript) in enumerate(
        run_inputs(
            recognizer,
            inputs,
            keep,
            decoder={},
            batch_size=batch_size,
            workers=workers,
            split_channels=False,
            tally=None,
        ),
        start=1,
    ):
        if transcript.error:
            failed.append((transcript.id, transcript.error.message))
        else:
            references.append(item.utterance.text or "")
        progress(done, len(inputs))
    if not references:
        raise ManifestError(
            f"{manifest}: none of {len(inputs)} recordings can be used; the first: {failed[0][1]}"
        )
    return Heard(emissions, tuple(references), rules, tuple(failed), tuple(without_text))


def find_settings(
    recognizer: Recognizer,
    heard: Heard,
    base: DecodeConfig,
    *,
    fixed: Iterable[str] = (),
    workers: int = 1,
    progress: Progress = _silent,
) -> Tuned:
    """Try settings of the search; see the header.

    Args:
        recognizer: the model.
        heard: what to try them on.
        base: language model, lexicon, hotwords and all that is not searched.
        fixed: which of beam, threshold, alpha, beta, unknown, gamma, delta, ctc_weight and
            length_power stay as they are in `base`.
        workers: recordings searched at a time.
        progress: told how many of about how many settings are done.

    Raises:
        CtcasrError: see `Recognizer.decoder`.
    """
    kind = choose_search(base.search, recognizer.config.heads)
    free = _searched(base, kind) - set(fixed)
    searches = _SEARCHES + (len(GAMMAS) * len(DELTAS) if base.rescore is not None else 0)
    usual_beam, beams = DEFAULT_BEAM, BEAMS
    if kind.needs_attention:
        usual_beam, beams = ATTENTION_BEAM, ATTENTION_BEAMS
        searches += len(CTC_WEIGHTS) * len(LENGTH_POWERS)
    tried: dict[str, Trial] = {}

    def best_of(settings: Iterable[DecodeConfig]) -> Trial:
        for decode in settings:
            point = decode.model_dump_json()
            if point not in tried:
                tried[point] = _try(recognizer, heard, decode, workers)
                progress(len(tried), max(len(tried), searches))
        return min(tried.values(), key=Trial.rank)

    best_path = _try(recognizer, heard, DecodeConfig(search=base.search), workers)
    beam = max(usual_beam, base.nbest) if "beam" in free else base.beam
    start = _change(base, beam=beam)
    if "gamma" in free:  # first without the recurrent model, which may turn out to be of no use
        start = _change(start, rescore=None, rescore_sha256=None)
    best = best_of(_weight_grid(start, free))
    best = best_of(_attention_grid(best.decode, free))
    for steps in STEPS:
        best = best_of(_weights_around(best.decode, steps, free))
    if base.rescore is not None:
        best = best_of(_rescoring_grid(best.decode, base, free))
    best = best_of(_effort_grid(best.decode, beams, free))
    if "unknown" in free:
        best = best_of(_change(best.decode, unknown=unknown) for unknown in UNKNOWNS)
    trials = tuple(tried.values())
    needs_search = base.weighs_words or base.nbest > 1 or "beam" not in free
    if not needs_search and best_path.rank() <= best.rank():
        best = best_path
    return Tuned(best_path, trials, best)


def require_new(output: Path) -> None:
    """Refuse to replace anything.

    Raises:
        OutputError: something stands at `output`.
    """
    if output.exists():
        raise OutputError(f"{output}: exists already; name another file for the tuned model")


def save_tuned(
    recognizer: Recognizer,
    decode: DecodeConfig,
    output: Path,
    *,
    name_only: bool = False,
    calibration: Mapping[str, Any] | None = None,
) -> None:
    """Write a model that decodes in this way unless told otherwise.

    Args:
        recognizer: the model as it was; everything else stays.
        decode: the new defaults.
        output: the new model file.
        name_only: language model and lexicon are named by hash instead of embedded.
        calibration: of the confidences of this search, as the model's header has it.

    Raises:
        OutputError: something stands there, or it cannot be written.
    """
    require_new(output)
    tuned = copy.copy(recognizer)
    tuned.header = {**recognizer.header, "calibration": calibration}
    tuned.config = recognizer.config.model_copy(update={"decode": decode})
    save_recognizer(
        output,
        tuned,
        training=recognizer.header["training"],
        created_with=ctcasr_version(),
        name_only=name_only,
    )


def _searched(base: DecodeConfig, kind: SearchKind) -> set[str]:
    """Return the settings that matter to what takes part."""
    keys = {"beam", "threshold"}
    if kind.needs_attention:
        keys |= {"ctc_weight", "length_power"} if kind.needs_ctc else {"length_power"}
    if base.lm is not None:
        keys |= {"alpha"}
    if base.lm is not None or base.lexicon is not None:
        keys |= {"beta", "unknown"} if base.is_open else {"beta"}
    if base.rescore is not None:
        keys |= {"gamma", "delta"}
    return keys


def _weight_grid(base: DecodeConfig, free: set[str]) -> Iterator[DecodeConfig]:
    alphas = ALPHAS if "alpha" in free else (base.alpha,)
    betas = BETAS if "beta" in free else (base.beta,)
    for alpha, beta in itertools.product(alphas, betas):
        yield _change(base, alpha=alpha, beta=beta)


def _weights_around(
    best: DecodeConfig, steps: tuple[float, float], free: set[str]
) -> Iterator[DecodeConfig]:
    by_alpha, by_beta = (
        (-step, 0.0, step) if key in free else (0.0,)
        for key, step in zip(("alpha", "beta"), steps, strict=True)
    )
    for more_alpha, more_beta in itertools.product(by_alpha, by_beta):
        if best.alpha + more_alpha >= 0:
            yield _change(best, alpha=best.alpha + more_alpha, beta=best.beta + more_beta)


def _attention_grid(best: DecodeConfig, free: set[str]) -> Iterator[DecodeConfig]:
    shares = CTC_WEIGHTS if "ctc_weight" in free else (best.ctc_weight,)
    powers = LENGTH_POWERS if "length_power" in free else (best.length_power,)
    for share, power in itertools.product(shares, powers):
        yield _change(best, ctc_weight=share, length_power=power)


def _rescoring_grid(
    best: DecodeConfig, base: DecodeConfig, free: set[str]
) -> Iterator[DecodeConfig]:
    rescoring = _change(best, rescore=base.rescore, rescore_sha256=base.rescore_sha256)
    gammas = GAMMAS if "gamma" in free else (base.gamma,)
    deltas = DELTAS if "delta" in free else (base.delta,)
    for gamma, delta in itertools.product(gammas, deltas):
        yield _change(rescoring, gamma=gamma, delta=delta)


def _effort_grid(
    best: DecodeConfig, beams: Sequence[int], free: set[str]
) -> Iterator[DecodeConfig]:
    beams = [b for b in beams if b >= best.nbest] if "beam" in free else [best.beam]
    thresholds = THRESHOLDS if "threshold" in free else (best.threshold,)
    for beam, threshold in itertools.product(beams, thresholds):
        yield _change(best, beam=beam, threshold=threshold)


def _change(decode: DecodeConfig, **values: float | str | None) -> DecodeConfig:
    return DecodeConfig.model_validate(decode.model_dump() | values)


def _try(recognizer: Recognizer, heard: Heard, decode: DecodeConfig, workers: int) -> Trial:
    sources = recognizer.sources(decode)
    decoder = TextDecoder(
        decode,
        recognizer.alphabet,
        sources,
        workers=workers,
        with_confidence=False,
        heads=recognizer.config.heads,
        attention=recognizer.attention,
    )
    started = time.perf_counter()
    texts = [found[0].text for batch in heard.emissions.batches() for found in decoder(*batch)]
    seconds = time.perf_counter() - started
    words = chars = ErrorCounts()
    for said, text in zip(heard.references, texts, strict=True):
        said, text = apply_rules_to_pair(said, text, heard.rules)
        words += count_errors(said.split(), text.split())
        chars += count_errors(list(said), list(text))
    return Trial(decode, words, chars, seconds)
