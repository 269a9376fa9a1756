"""What a run's metrics say about it, in plain language, where a pattern is known.

Each rule is a pure function from the epochs of a run, and what it was configured to do, to an
`Advice` or None. Rules are shy: advice that is wrong now and then is soon no longer read, so each
stays silent on runs that went well (tests/runs holds real ones, good and bad).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from ctcasr.training.metrics import EpochReport

_SETTLED = 5
"""Epochs before anything is said about where a run is going."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing that went wrong, or could go better.

    Attributes:
        what: happened, in a few words.
        why: the figures that show it, and what is behind them.
        next_step: to try.
    """

    what: str
    why: str
    next_step: str


Settings = Mapping[str, Any]
"""A run's configuration, as config.yaml has it: sections of keys."""

Rule = Callable[[Sequence[EpochReport], Settings], Advice | None]


def advise(epochs: Sequence[EpochReport], settings: Settings) -> list[Advice]:
    """Return what there is to say about a run, the gravest first; nothing about no epochs."""
    if not epochs:
        return []
    found = (rule(epochs, settings) for rule in RULES)
    return [advice for advice in found if advice is not None]


def find_divergence(epochs: Sequence[EpochReport], settings: Settings) -> Advice | None:
    """The training loss rises far above what it had been: steps are too large."""
    lowest = epochs[0].loss
    for report in epochs[1:]:
        if report.loss > 1.5 * lowest and report.loss > lowest + 0.5:
            return Advice(
                "The training diverged.",
                f"The training loss rose from {lowest:.2f} to {report.loss:.2f} by epoch "
                f"{report.epoch}: the steps are too large, and each undoes what was learned.",
                f"Lower optim.peak_lr ({_value(settings, 'optim', 'peak_lr')}) to a third, and "
                f"raise optim.warmup_steps; keep optim.max_grad_norm at 5 or below.",
            )
        lowest = min(lowest, report.loss)
    return None


def find_all_blank(epochs: Sequence[EpochReport], settings: Settings) -> Advice | None:
    """The network still writes nothing: the plateau on which every CTC training begins."""
    last = epochs[-1]
    if not _is_all_blank(last):
        return None
    return Advice(
        "The network writes nothing.",
        f"After {last.step:,} steps, {last.blank_share or 0:.1%} of the frames of the dev set are "
        f"blank. Every CTC training begins on this plateau; this one has not left it.",
        f"Train for longer: more recordings, or more than {last.epochs} training.epochs. If it "
        f"stays, raise optim.peak_lr ({_value(settings, 'optim', 'peak_lr')}), weaken augment, and "
        f"let ctcasr check look at the data.",
    )


def find_low_learning_rate(epochs: Sequence[EpochReport], settings: Settings) -> Advice | None:
    """The loss of an untrained network hardly moves."""
    first, last = epochs[0], epochs[-1]
    untrained = last.loss > 2 and (last.dev_cer is None or last.dev_cer > 0.9)
    still = (
        all(abs(report.loss / first.loss - 1) < 0.1 for report in epochs) if first.loss else True
    )
    if len(epochs) < _SETTLED or not untrained or not still or _is_all_blank(last):
        return None
    highest = max(report.learning_rate for report in epochs)
    peak = _known(settings, "optim", "peak_lr")
    warming = isinstance(peak, float) and highest < peak / 2
    return Advice(
        "The network hardly learns.",
        f"The training loss moved from {first.loss:.2f} to {last.loss:.2f} in {len(epochs)} epochs "
        f"and {last.step:,} steps, with a learning rate of {highest:.1e} at most.",
        f"The warm-up is longer than the run: lower optim.warmup_steps "
        f"({_value(settings, 'optim', 'warmup_steps')}), or take more steps, with smaller batches: "
        f"data.batch_frames ({_value(settings, 'data', 'batch_frames')})."
        if warming
        else f"Raise optim.peak_lr ({_value(settings, 'optim', 'peak_lr')}); 1e-3 to 4e-3 is "
        f"usual.",
    )


def find_overfitting(epochs: Sequence[EpochReport], settings: Settings) -> Advice | None:
    """The dev loss rises while the training loss falls."""
    known = [(report.dev_loss, report) for report in epochs if report.dev_loss is not None]
    if not known:
        return None
    lowest, best = min(known, key=lambda pair: pair[0])
    dev_loss, last = known[-1]
    if dev_loss < 1.2 * lowest or dev_loss < lowest + 0.2 or last.loss > best.loss:
        return None
    return Advice(
        "The network learns the training set by heart.",
        f"Since epoch {best.epoch} the dev loss rose from {lowest:.2f} to {dev_loss:.2f}, while "
        f"the training loss fell from {best.loss:.2f} to {last.loss:.2f}.",
        f"More recordings help most. Otherwise raise encoder.dropout "
        f"({_value(settings, 'encoder', 'dropout')}), strengthen augment, shrink encoder.hidden "
        f"({_value(settings, 'encoder', 'hidden')}), or stop early: training.patience, "
        f"training.average_of=best.",
    )


def find_unfinished(epochs: Sequence[EpochReport], settings: Settings) -> Advice | None:
    """The dev error was still falling when the run ended."""
    errors = [report.dev_cer for report in epochs if report.dev_cer is not None]
    tail = max(2, round(len(errors) / 5))
    if len(errors) < _SETTLED:
        return None
    before, after = min(errors[:-tail]), min(errors[-tail:])
    if after > 0.9 * before or before - after < 0.005:
        return None
    return Advice(
        "The training stopped while it was still getting better.",
        f"In its last {tail} epochs the dev CER fell from {before:.1%} to {after:.1%}.",
        f"Train again with twice the training.epochs ({_value(settings, 'training', 'epochs')}).",
    )


def find_clipping(epochs: Sequence[EpochReport], settings: Settings) -> Advice | None:
    """Nearly every gradient is scaled down, so its length says nothing any more."""
    shares = [report.clipped for report in epochs if report.clipped is not None]
    if not shares or median(shares) < 0.9:
        return None
    return Advice(
        "Nearly every gradient is clipped.",
        f"In the middle epoch {median(shares):.0%} of the steps had a gradient above "
        f"optim.max_grad_norm; the mean norm was {median(r.grad_norm for r in epochs):.2g}.",
        f"Raise optim.max_grad_norm ({_value(settings, 'optim', 'max_grad_norm')}) above the norm "
        f"that most steps have.",
    )


def find_starvation(epochs: Sequence[EpochReport], settings: Settings) -> Advice | None:
    """The network waits for recordings; the first epoch, which fills the cache, does not count."""
    share = median(report.waiting for report in epochs[1:] or epochs)
    if share < 0.25:
        return None
    return Advice(
        "The network waits for its input.",
        f"{share:.0%} of the time went by waiting for recordings to be read and prepared.",
        f"Raise data.workers ({_value(settings, 'data', 'workers')}), and data.cache_mb "
        f"({_value(settings, 'data', 'cache_mb')}) until all recordings fit; put them on a faster "
        f"disk, as WAV or FLAC at the model's sample rate.",
    )


def find_padding(epochs: Sequence[EpochReport], settings: Settings) -> Advice | None:
    """Much of each batch is padding."""
    share = median(report.padding for report in epochs)
    if share < 0.3:
        return None
    return Advice(
        "Much of the computing goes into padding.",
        f"{share:.0%} of the frames of a batch are padding: it holds recordings of very different "
        f"length.",
        f"Lower data.batch_frames ({_value(settings, 'data', 'batch_frames')}), so that batches "
        f"hold fewer and more alike; cut the longest recordings, or leave them out by "
        f"data.max_frames.",
    )


RULES: tuple[Rule, ...] = (
    find_divergence,
    find_all_blank,
    find_low_learning_rate,
    find_overfitting,
    find_unfinished,
    find_clipping,
    find_starvation,
    find_padding,
)
"""Every rule, the gravest first."""


def _is_all_blank(report: EpochReport) -> bool:
    silent = report.dev_cer is None or report.dev_cer >= 0.95
    return report.blank_share is not None and report.blank_share >= 0.99 and silent


def _value(settings: Settings, section: str, key: str) -> str:
    """Return "now 0.002", or that nobody knows."""
    value = _setting(settings, section, key)
    if isinstance(value, str):
        return f"now {value}"
    if not isinstance(value, int | float):
        return "not known"
    return f"now {value:,}" if isinstance(value, int) else f"now {value:g}"


def _known(settings: Settings, section: str, key: str) -> float | int | None:
    value = _setting(settings, section, key)
    return value if isinstance(value, int | float) else None


def _setting(settings: Settings, section: str, key: str) -> Any:
    values = settings.get(section)
    return values.get(key) if isinstance(values, Mapping) else None
