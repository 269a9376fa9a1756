"""What a training learns from and judges on: manifests, less what cannot be used, with labels.

A manifest of up to `data.max_checked` lines is read whole, and all of it is looked at before the
first step. A larger one stays on the disk: an item is read and judged when an epoch comes to it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctcasr.alphabet import NO_TEXT, Alphabet, build_alphabet
from ctcasr.batching import Stretch
from ctcasr.checking import (
    Requirements,
    Unusable,
    class_of,
    classes_of,
    find_usable,
    frame_classes_of,
    stretches_of,
)
from ctcasr.config import OnBad, RunConfig
from ctcasr.errors import ConfigError, ManifestError
from ctcasr.manifest import Utterance, read_manifest
from ctcasr.manifest.index import IndexedManifest, has_more_lines
from ctcasr.text_rules import apply_rules
from ctcasr.training.loading import Labelled


@dataclass(frozen=True, slots=True)
class TrainingSets:
    """What is learned from and judged on, after what cannot be used was put aside.

    Attributes:
        train, dev: usable items; dev may be empty, and train may be judged later.
        alphabet: of the training text; without labels where the model writes none.
        classes: labels of whole recordings, in the order of the utterance head's columns.
        frame_classes: the same of frames and the frame head.
        skipped: what was put aside, by set.
    """

    train: "tuple[Labelled, ...] | UncheckedItems"
    dev: tuple[Labelled, ...]
    alphabet: Alphabet
    classes: tuple[str, ...]
    frame_classes: tuple[str, ...]
    skipped: tuple[tuple[str, Unusable], ...]

    @property
    def amount(self) -> float:
        """Of the training set, in the unit of its medium."""
        if isinstance(self.train, UncheckedItems):
            return self.train.amount
        return sum(item.amount for item in self.train)


class Labeller:
    """Says what each head is to give for an utterance.

    Args:
        config: of the run.
        alphabet, classes, frame_classes: see `TrainingSets`.
    """

    def __init__(
        self,
        config: RunConfig,
        alphabet: Alphabet,
        classes: Sequence[str],
        frame_classes: Sequence[str],
    ) -> None:
        self._parts = (config, alphabet, classes, frame_classes)
        self.config = config
        self._alphabet = alphabet
        self._classes = classes
        self._frame_classes = frame_classes
        self.requirements = Requirements(
            alphabet=alphabet if config.heads.write_text else None,
            is_aligned=config.heads.ctc.is_present,
            rules=config.text.rules,
            medium=config.medium,
            num_frames=config.num_encoder_frames,
            class_field=config.heads.utterance.field,
            classes=classes,
            frame_field=config.heads.frame.field,
            frame_classes=frame_classes,
        )

    def __reduce__(self) -> tuple[type["Labeller"], tuple[object, ...]]:
        """Travel to another process as what it is made of."""
        return Labeller, self._parts

    def label(self, utterance: Utterance, amount: float) -> Labelled | Unusable:
        """Return a usable utterance with its labels, or that it is too long."""
        config, heads = self.config, self.config.heads
        frames = config.frontend.num_frames(round(amount * config.frontend.rate))
        if frames > config.data.max_frames:
            return Unusable(
                utterance.id,
                "too long",
                f"utterance {utterance.id!r}: {frames:,} frames are more than data.max_frames "
                f"{config.data.max_frames:,}; cut it into shorter ones, or raise that key",
            )
        labels: tuple[int, ...] = ()
        if heads.write_text:
            labels = self._alphabet.encode(apply_rules(utterance.text or "", config.text.rules))
        label = None
        if heads.utterance.field is not None:
            label = class_of(utterance, heads.utterance.field, rules=config.text.rules)
        stretches = []
        if heads.frame.field is not None:
            stretches = stretches_of(utterance, heads.frame.field) or []
        return Labelled(
            utterance,
            labels,
            amount,
            None if label is None else self._classes.index(label),
            tuple(
                Stretch(start, end, self._frame_classes.index(text))
                for start, end, text in stretches
            ),
        )


class UncheckedItems:
    """A training set that is judged item by item, as training comes to them.

    Their durations are those that the manifest says; no recording is opened.

    Args:
        manifest: that says a duration for each.
        labeller: for what is learned.

    Attributes:
        on_unusable: is told of each item that cannot be used, every time it is met.
    """

    def __init__(self, manifest: IndexedManifest, labeller: Labeller) -> None:
        self._manifest = manifest
        self._labeller = labeller
        self.on_unusable: Callable[[Unusable], None] = _ignore

    def __reduce__(self) -> tuple[type["UncheckedItems"], tuple[IndexedManifest, Labeller]]:
        """Travel to another process, where nobody is told of anything."""
        return UncheckedItems, (self._manifest, self._labeller)

    def __len__(self) -> int:
        return len(self._manifest)

    def __getitem__(self, number: int, /) -> Labelled | None:
        """Return an item; None where it cannot be used.

        Raises:
            ManifestError: it cannot be used, and `data.on_bad` is `stop`.
        """
        verdict = self._judge(number)
        if isinstance(verdict, Labelled):
            return verdict
        if self._labeller.config.data.on_bad is OnBad.STOP:
            raise ManifestError(
                f"{verdict.message} (found while training); mend it, or let it be left out by "
                f"data.on_bad=skip"
            )
        self.on_unusable(verdict)
        return None

    @property
    def amount(self) -> float:
        """Seconds that all lines say."""
        return float(self._manifest.seconds.sum(dtype=np.float64))

    def _judge(self, number: int) -> Labelled | Unusable:
        try:
            utterance = self._manifest[number]
        except ManifestError as error:
            return Unusable(f"item {number}", "broken line", str(error))
        verdict = self._labeller.requirements.judge(utterance, _declared_amount)
        if isinstance(verdict, Unusable):
            return verdict
        return self._labeller.label(utterance, verdict)


def _ignore(_: Unusable) -> None:
    """Tell nobody."""


def _declared_amount(utterance: Utterance) -> float:
    assert utterance.duration is not None, "looked at when the manifest was opened"
    return utterance.duration


def read_manifests(config: RunConfig) -> dict[str, tuple[str, Sequence[Utterance]]]:
    """Return path and items of the manifests of a run, by their keys.

    Raises:
        ConfigError: there is none to learn from.
        ManifestError: one cannot be read.
    """
    if config.data.train is None:
        raise ConfigError(
            "data.train: no manifest to learn from; name one in the configuration or by "
            "--set data.train=FILE"
        )
    train, limit = Path(config.data.train), config.data.max_checked
    is_large = has_more_lines(train, limit)
    manifests: dict[str, tuple[str, Sequence[Utterance]]] = {
        "train": (str(train), _open_large(train) if is_large else read_manifest(train))
    }
    if config.data.dev:
        manifests["dev"] = (config.data.dev, read_manifest(Path(config.data.dev)))
    return manifests


def _open_large(path: Path) -> IndexedManifest:
    manifest = IndexedManifest(path)
    silent = np.flatnonzero(~(manifest.seconds > 0))
    if len(silent):
        raise ManifestError(
            f"{path}: {len(silent):,} of {len(manifest):,} items have no `duration`, the first: "
            f"{manifest[int(silent[0])].id!r}; a manifest of so many lines is planned by it: write "
            f"it into each, or raise data.max_checked"
        )
    return manifest


def prepare_sets(config: RunConfig, manifests: Mapping[str, Sequence[Utterance]]) -> TrainingSets:
    """Collect the labels and put aside, by name, what cannot be learned from or judged on.

    Raises:
        ManifestError: nothing usable is left, or `data.on_bad` is `stop` and something was bad.
    """
    rules, field = config.text.rules, config.heads.utterance.field
    alphabet = NO_TEXT
    if config.heads.write_text:
        texts = (apply_rules(u.text, rules) for u in manifests["train"] if u.text is not None)
        alphabet = make_alphabet(config, texts)
    classes = () if field is None else classes_of(manifests["train"], field, rules=rules)
    if field is not None and len(classes) < 2:
        raise ManifestError(
            f"data.train: {len(classes)} different values of {field!r} (heads.utterance.field), "
            f"and at least 2 are needed to tell apart; name another field, or fill it in"
        )
    frame_field = config.heads.frame.field
    frame_classes = () if frame_field is None else frame_classes_of(manifests["train"], frame_field)
    labeller = Labeller(config, alphabet, classes, frame_classes)
    train: tuple[Labelled, ...] | UncheckedItems = ()
    dev: tuple[Labelled, ...] = ()
    skipped: list[tuple[str, Unusable]] = []
    for name, utterances in manifests.items():
        if isinstance(utterances, IndexedManifest):
            train = UncheckedItems(utterances, labeller)
            continue
        kept, unusable = _divide(utterances, labeller)
        skipped += [(name, bad) for bad in unusable]
        _require_some(config, name, kept, unusable)
        if name == "train":
            train = kept
        else:
            dev = kept
    return TrainingSets(train, dev, alphabet, classes, frame_classes, tuple(skipped))


def make_alphabet(config: RunConfig, texts: Iterable[str]) -> Alphabet:
    """Return the alphabet a configuration names, or that of the training texts."""
    text = config.text
    named = text.named_alphabet()
    if named is not None:
        return named
    return build_alphabet(texts, unit=text.unit, direction=text.direction, subwords=text.subwords)


def _divide(
    utterances: Sequence[Utterance], labeller: Labeller
) -> tuple[tuple[Labelled, ...], list[Unusable]]:
    """Return the usable items of a set, and the others: those that are only too long last."""
    usable, unusable = find_usable(
        utterances, labeller.requirements, workers=max(1, labeller.config.data.workers)
    )
    items = [labeller.label(utterance, amount) for utterance, amount in usable]
    kept = tuple(item for item in items if isinstance(item, Labelled))
    return kept, [*unusable, *(item for item in items if isinstance(item, Unusable))]


def _require_some(
    config: RunConfig, name: str, items: Sequence[Labelled], unusable: Sequence[Unusable]
) -> None:
    if unusable and config.data.on_bad is OnBad.STOP:
        raise ManifestError(
            f"{unusable[0].message} (and {len(unusable) - 1} more of the {name} set); mend them, "
            f"or let them be left out by data.on_bad=skip"
        )
    if not items:
        first = f"; the first: {unusable[0].message}" if unusable else ""
        raise ManifestError(
            f"data.{name}: none of {len(unusable)} utterances can be used{first}; run ctcasr check"
        )
