"""Train: from two manifests and a configuration to a model file in a run folder."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ctcasr.bundle import load, save_recognizer
from ctcasr.checking import Unusable
from ctcasr.config import DEFAULT_BATCH_FRAMES, Auto, RunConfig
from ctcasr.decoder import TextDecoder, read_sources
from ctcasr.device import compute_deterministically, free_bytes, peak_bytes, pick_device
from ctcasr.distributed import World, join_world
from ctcasr.errors import OutputError, RunFolderError
from ctcasr.files import write_text
from ctcasr.frontends.feature_stats import (
    FeatureStats,
    Normalisation,
    measure_feature_stats,
)
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.frontends.media import without_augmentation
from ctcasr.manifest.index import IndexedManifest
from ctcasr.models.network import Network
from ctcasr.pipeline.provenance import ctcasr_version, file_sha256
from ctcasr.pipeline.report import write_training_report
from ctcasr.pipeline.resumption import describe_new_setting, describe_run, require_same_run
from ctcasr.pipeline.run_folder import RunFolder
from ctcasr.pipeline.run_log import RunLog
from ctcasr.pipeline.run_record import read_run
from ctcasr.pipeline.training_sets import (
    TrainingSets,
    UncheckedItems,
    prepare_sets,
    read_manifests,
)
from ctcasr.recognizer import Recognizer
from ctcasr.training.batch_frames import (
    SHARE_OF_MEMORY,
    STEPS_PER_EPOCH,
    find_batch_frames,
    most_frames,
)
from ctcasr.training.checkpoint import Checkpoint, latest_checkpoint
from ctcasr.training.computing import TIMED_FRAMES, Computing, candidates, measure, recall
from ctcasr.training.dev_set import DevScores, DevSet
from ctcasr.training.interruption import Interrupted, listen_for_stop
from ctcasr.training.loading import TrainingData
from ctcasr.training.loop import Trainer, loss_device, seed_everything
from ctcasr.training.metrics import EpochReport, StepReport, TrainingObserver
from ctcasr.training.warm_start import HeadLabels, match_weights

_ROUND_ITEMS = 8_192
"""Items of a large manifest that are planned at a time: a second or two, and little padding."""


class SilentObserver:
    """Tells nobody; warnings stay in the run's log."""

    def on_step(self, report: StepReport) -> None:
        """Ignore it."""

    def on_epoch(self, report: EpochReport) -> None:
        """Ignore it."""

    def on_warning(self, message: str) -> None:
        """Ignore it."""


@dataclass(frozen=True, slots=True)
class _Beginning:
    """What a run's first process finds out before the first step, for all.

    Attributes:
        sets: what is learned from and judged on.
        digests: SHA-256 of the manifests, by key.
        checkpoint: to go on from.
        computing: how its steps are computed; None where that is to be found out.
        batch_frames: most frames in a batch; None where that is to be found out.
    """

    sets: TrainingSets
    digests: Mapping[str, str]
    checkpoint: Checkpoint | None
    computing: Computing | None
    batch_frames: int | None


def train(
    config: RunConfig,
    *,
    run: Path,
    resume: bool = False,
    device: str = "auto",
    observer: TrainingObserver | None = None,
) -> Path:
    """Train a model and return its file; of several processes, all must call this.

    Args:
        config: `data.train` names the manifest to learn from, `data.dev` the one to judge on.
        run: folder of the run; see INTERFACE "A run folder".
        resume: go on from the newest whole checkpoint; starts afresh where there is none.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        observer: who is told how it goes.

    Raises:
        CtcasrError: a mistake in configuration, manifests or run folder; nothing usable to learn.
        TrainingError: the training diverged, its data gave out, or a batch does not fit in memory.
        Interrupted: SIGINT or SIGTERM; the state is saved.
        ToldElsewhereError: one of these, in all processes but the first.
    """
    place = pick_device(device)
    folder = RunFolder(run)
    log = RunLog(folder.log, observer or SilentObserver())
    if loss_device(config.training, place) != place:
        compute_deterministically()
    with join_world(place) as world:
        begun = world.from_first(
            lambda: _begin(config, folder, log, place, resume=resume, world=world)
        )
        with ExitStack() as closing:
            if world.is_first:
                closing.enter_context(_reporting_the_end(folder, log))
                closing.enter_context(_noting_the_end(folder, log))
            stop = closing.enter_context(listen_for_stop())
            stats = world.from_first(lambda: _measure_stats(config, begun.sets))
            if world.is_first and isinstance(begun.sets.train, UncheckedItems):
                begun.sets.train.on_unusable = _SkippedLater(folder)
            with world.agreed():
                trainer = _make_trainer(config, begun, folder, place, log, stats, world)
            closing.callback(torch.set_num_threads, torch.get_num_threads())
            computing = world.from_first(
                lambda: begun.computing or _choose_computing(config, trainer, folder, log)
            )
            trainer.compute_as(computing)
            trainer.data.batch_frames = batch_frames = world.from_first(
                lambda: begun.batch_frames or _choose_batch_frames(trainer, folder, log)
            )
            this_run = _describe(config, begun.sets, place, computing, world)
            trainer.facts = lambda: {
                "run": this_run,
                "batch_frames": batch_frames,
                "log_bytes": log.num_bytes,
            }
            weights = trainer.fit(stop)
            with world.agreed():
                if world.is_first:
                    scores = _finish(config, begun, folder, trainer, weights)
                    folder.write_facts(scores=scores)
    return folder.model


def _begin(
    config: RunConfig,
    folder: RunFolder,
    log: RunLog,
    place: torch.device,
    *,
    resume: bool,
    world: World,
) -> _Beginning:
    """Refuse what cannot be, and write down what the run is made of."""
    manifests = read_manifests(config)
    digests = {
        key: items.sha256 if isinstance(items, IndexedManifest) else file_sha256(Path(path))
        for key, (path, items) in manifests.items()
    }
    folder.require_ready(config, manifests=digests, resume=resume)
    checkpoint, damaged = latest_checkpoint(folder.path) if resume else (None, [])
    sets = prepare_sets(config, {key: items for key, (_, items) in manifests.items()})
    if config.heads.write_text:
        # What the finished model is to decode with; better refused now than after hours.
        TextDecoder(
            config.decode, sets.alphabet, read_sources(config.decode, {}), heads=config.heads
        )
    notes = list(damaged)
    computing = _settle_computing(config, folder, checkpoint, place)
    batch_frames = _settle_batch_frames(config, folder, checkpoint)
    if checkpoint is not None and computing is not None:
        this_run = _describe(config, sets, place, computing, world)
        require_same_run(checkpoint, this_run)
        notes += describe_new_setting(checkpoint, this_run)
        notes += _describe_new_sets(folder, sets, limit=config.data.max_unreadable)
    elif folder.model.is_file():
        raise RunFolderError(
            f"{folder.path}: holds a finished model, and no checkpoint to go on from; name "
            f"another folder"
        )
    found: dict[str, Any] = {} if computing is None else {"computing": asdict(computing)}
    if batch_frames != config.data.batch_frames and batch_frames is not None:
        found["batch_frames"] = batch_frames
    folder.begin(config, manifests=digests, found=found)
    log.cut_back(checkpoint.facts["log_bytes"] if checkpoint is not None else 0)
    _write_skipped(folder, sets)
    for note in [
        *_describe_unchecked(config, folder, sets),
        *_describe_skipped(folder, sets),
        *_describe_computing(config, place),
    ]:
        (log.on_warning if checkpoint is None else log.repeat)(note)
    for note in notes:
        log.on_warning(note)
    return _Beginning(sets, digests, checkpoint, computing, batch_frames)


def _describe(
    config: RunConfig,
    sets: TrainingSets,
    place: torch.device,
    computing: Computing,
    world: World,
) -> dict[str, Any]:
    return describe_run(
        config,
        sets.alphabet,
        place,
        computing,
        classes=sets.classes,
        frame_classes=sets.frame_classes,
        processes=world.size,
    )


def _settle_computing(
    config: RunConfig, folder: RunFolder, checkpoint: Checkpoint | None, place: torch.device
) -> Computing | None:
    """Return how steps are computed, where the run knows, or has no choice; None where it has."""
    training = config.training
    known = folder.facts().get("computing")
    if checkpoint is not None:
        known = checkpoint.facts["run"]["setting"]
    if known is not None:
        return recall(known, training.precision, training.threads, place)
    found = candidates(training.precision, training.threads, place)
    return found[0] if len(found) == 1 or training.deterministic else None


def _choose_computing(
    config: RunConfig, trainer: Trainer, folder: RunFolder, log: RunLog
) -> Computing:
    """Time the ways to compute that may be fastest on a part of the first batch; write it down."""
    found = candidates(config.training.precision, config.training.threads, trainer.device)
    batch = next(iter(trainer.data.epoch(0)), None)
    if batch is None:  # nothing could be read: training will say so
        return found[0]
    frames = len(batch.ids) * config.frontend.num_frames(int(batch.lengths.max()))
    part = batch.split(math.ceil(frames / TIMED_FRAMES))[0]
    chosen, why = measure(found, lambda one: trainer.seconds_of_step(part, one))
    folder.write_facts(computing=asdict(chosen))
    log.on_warning(why)
    return chosen


def _settle_batch_frames(
    config: RunConfig, folder: RunFolder, checkpoint: Checkpoint | None
) -> int | None:
    """Return how many frames a batch has, where somebody says so or the run knows."""
    if config.data.batch_frames != Auto.AUTO:
        return config.data.batch_frames
    known = folder.facts() if checkpoint is None else checkpoint.facts
    return known.get("batch_frames")


def _choose_batch_frames(trainer: Trainer, folder: RunFolder, log: RunLog) -> int:
    """Try how many frames a batch may have; write it down."""
    data, device = trainer.data, trainer.device
    # Each process has a GPU of its own and a share of the batch; on a CPU they share its memory.
    shares = trainer.world.size if device.type == "cuda" else 1
    lengths, free = data.lengths(), free_bytes(device)
    most = most_frames(sum(lengths) * data.num_rounds)
    if free is None or peak_bytes(device) is None:
        frames = min(most, DEFAULT_BATCH_FRAMES)
        why = "the system does not tell how much memory is free"
    else:
        budget = int(SHARE_OF_MEMORY * free)

        def bytes_of(frames: int) -> int | None:
            batch = data.fullest_batch(frames)
            return trainer.bytes_of_step(batch) if batch is not None else 0

        found, taken = find_batch_frames(
            bytes_of, budget=budget, fewest=max(lengths), most=most // shares
        )
        frames = shares * found
        why = f"{_megabytes(taken)} of the {_megabytes(budget)} that training may take"
    folder.write_facts(batch_frames=frames)
    log.on_warning(
        f"batches of up to {frames:,} frames: {why}; {most:,} would leave {STEPS_PER_EPOCH} steps "
        f"an epoch, the fewest; data.batch_frames decides it otherwise"
    )
    return frames


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:,.0f} MB"


def _write_skipped(folder: RunFolder, sets: TrainingSets) -> None:
    """Write down what was put aside; what was found while training, before, stays."""
    kept = []
    if isinstance(sets.train, UncheckedItems):
        kept = [record for record in read_run(folder.path).skipped if record["set"] == "train"]
    records = [*(_describe_bad(name, bad) for name, bad in sets.skipped), *kept]
    write_text(folder.skipped, "".join(_json_line(record) for record in records))


def _describe_bad(name: str, bad: Unusable) -> dict[str, str]:
    return {"set": name, "id": bad.id, "kind": bad.kind, "reason": bad.message}


def _json_line(record: Mapping[str, str]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


class _SkippedLater:
    """Adds to skipped.jsonl what turns out to be unusable while training, once each."""

    def __init__(self, folder: RunFolder) -> None:
        self._path = folder.skipped
        self._known = {record["id"] for record in read_run(folder.path).skipped}

    def __call__(self, bad: Unusable) -> None:
        if bad.id in self._known:
            return
        self._known.add(bad.id)
        try:
            with self._path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(_json_line(_describe_bad("train", bad)))
        except OSError as error:
            raise OutputError(
                f"{self._path}: cannot be written ({error.strerror or error}); free some space, "
                f"and go on with --resume"
            ) from error


def _describe_unchecked(config: RunConfig, folder: RunFolder, sets: TrainingSets) -> list[str]:
    """Return what is to be said about a training set that was not looked at whole."""
    if not isinstance(sets.train, UncheckedItems):
        return []
    note = (
        f"data.train: {len(sets.train):,} items, more than data.max_checked "
        f"{config.data.max_checked:,}: each is judged when training comes to it; what cannot be "
        f"used: {folder.skipped}"
    )
    return [note]


def _describe_skipped(folder: RunFolder, sets: TrainingSets) -> list[str]:
    return [
        f"left out of {name}, {kind}: {', '.join(ids)}; why: {folder.skipped}"
        for (name, kind), ids in _group_skipped(sets.skipped).items()
    ]


def _describe_new_sets(folder: RunFolder, sets: TrainingSets, *, limit: int) -> list[str]:
    """Return a line where a run that goes on has other items than it began with.

    Raises:
        RunFolderError: more than `limit` of them can be used no longer.
    """
    judged = {"dev"} if isinstance(sets.train, UncheckedItems) else {"train", "dev"}
    before = {
        (record["set"], record["id"])
        for record in read_run(folder.path).skipped
        if record["set"] in judged
    }
    now = {(name, bad.id): bad.message for name, bad in sets.skipped}
    lost = [item for item in now if item not in before]
    found = [item for item in before if item not in now]
    if len(lost) > limit:
        raise RunFolderError(
            f"{folder.path}: cannot go on, since {len(lost)} utterances can be used no longer, "
            f"data.max_unreadable allows {limit}; the first: {now[lost[0]]}; put them back, or "
            f"begin in another folder"
        )
    changed = [f"{name} can be used no longer" for _, name in lost]
    changed += [f"{name} can be used now" for _, name in sorted(found)]
    note = f"{', '.join(changed)}: the run goes on, but not as one that never stopped would"
    return [note] if changed else []


def _group_skipped(
    skipped: Sequence[tuple[str, Unusable]],
) -> dict[tuple[str, str], list[str]]:
    """Return the ids of what was put aside, by set and kind."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, bad in skipped:
        groups.setdefault((name, bad.kind), []).append(bad.id)
    return groups


def _make_trainer(
    config: RunConfig,
    begun: _Beginning,
    folder: RunFolder,
    device: torch.device,
    log: RunLog,
    stats: FeatureStats | None,
    world: World,
) -> Trainer:
    """Return a trainer that stands where the run is to go on."""
    seed_everything(config.seed)
    sets, checkpoint = begun.sets, begun.checkpoint
    observer = log if world.is_first else SilentObserver()
    alphabet, frontend = sets.alphabet, config.frontend
    data = training_data(config, sets)
    network = Network(
        config.encoder,
        num_features=frontend.num_features,
        num_labels=len(alphabet),
        blank=alphabet.blank,
        heads=config.heads,
        num_frame_classes=len(sets.frame_classes),
        num_classes=len(sets.classes),
    )
    if checkpoint is None and config.training.init_from is not None:
        _warm_start(config, network, sets, observer)
    dev = None
    if sets.dev and world.is_first:
        dev = DevSet(
            sets.dev,
            frontend=frontend,
            medium=config.medium,
            batch_frames=config.data.fixed_batch_frames,
            frame_s=config.frame_shift,
        )
    trainer = Trainer(
        run=folder.path,
        network=network.to(device),
        features=FeatureExtractor(frontend, stats).to(device),
        alphabet=alphabet,
        data=data,
        dev=dev,
        optim=config.optim,
        training=config.training,
        seed=config.seed,
        device=device,
        observer=observer,
        world=world,
    )
    if checkpoint is not None:
        trainer.resume(checkpoint)
    elif world.is_first:
        trainer.metrics.cut_back(last_epoch=0)
    return trainer


def _describe_computing(config: RunConfig, device: torch.device) -> list[str]:
    """Return what is to be said about `training.deterministic` on a GPU."""
    if loss_device(config.training, device) == device:
        return []
    note = (
        "training.deterministic: the CTC loss is computed on the CPU, since its gradient is not "
        "the same each time on a GPU; steps are slower"
    )
    return [note]


def training_data(config: RunConfig, sets: TrainingSets, *, augmented: bool = True) -> TrainingData:
    """Return what gives the batches of a run, or each recording as it is, to be measured once."""
    alphabet = sets.alphabet
    space = alphabet.encode(" ") if " " in alphabet.labels else ()
    return TrainingData(
        sets.train,
        frontend=config.frontend,
        num_encoder_frames=config.num_encoder_frames,
        frame_s=config.frame_shift if config.heads.frame.is_present else None,
        medium=config.medium if augmented else without_augmentation(config.frontend),
        space=space,
        batch_frames=config.data.fixed_batch_frames,
        batch_size=config.data.batch_size,
        seed=config.seed,
        workers=config.data.workers,
        cache_mb=config.data.cache_mb if augmented else 0,
        max_unreadable=config.data.max_unreadable if augmented else None,
        round_items=_ROUND_ITEMS if isinstance(sets.train, UncheckedItems) else None,
    )


def _measure_stats(config: RunConfig, sets: TrainingSets) -> FeatureStats | None:
    """Return the training set's feature statistics, where the frontend normalises by them."""
    if config.frontend.normalise is not Normalisation.TRAINING:
        return None
    extractor = FeatureExtractor(
        config.frontend.model_copy(update={"normalise": Normalisation.NONE})
    )

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in training_data(config, sets, augmented=False).epoch(0):
            yield extractor(batch.signals, batch.lengths)

    return measure_feature_stats(batches())


def _warm_start(
    config: RunConfig, network: Network, sets: TrainingSets, observer: TrainingObserver
) -> None:
    source = load(config.training.init_from or "", device="cpu")
    matched = match_weights(
        network,
        HeadLabels(sets.alphabet.labels, sets.frame_classes, sets.classes),
        weights=source.network.state_dict(),
        labels=HeadLabels(source.alphabet.labels, source.frame_classes, source.classes),
    )
    num_labels = len(sets.alphabet) + len(sets.frame_classes) + len(sets.classes)
    observer.on_warning(
        f"started from {source.name}: {matched.tensors} of {matched.all_tensors} tensors, output "
        f"layer for {matched.labels} of {num_labels} labels"
    )


def _finish(
    config: RunConfig,
    begun: _Beginning,
    folder: RunFolder,
    trainer: Trainer,
    weights: dict[str, Tensor],
) -> dict[str, float | None]:
    """Score the averaged weights on the dev set and write the model."""
    sets = begun.sets
    trainer.network.load_state_dict(weights)
    scores = trainer.score_dev()
    recognizer = Recognizer(
        config,
        sets.alphabet,
        trainer.network,
        classes=sets.classes,
        frame_classes=sets.frame_classes,
        stats=trainer.features.stats,
        device=trainer.device,
    )
    facts = _scores(scores)
    save_recognizer(
        folder.model,
        recognizer,
        training={
            "items": len(sets.train),
            "amount": round(sets.amount, 3),
            "unit": config.medium.unit,
            "manifest_sha256": begun.digests["train"],
            "scores": facts,
        },
        created_with=ctcasr_version(),
    )
    return facts


def _scores(scores: DevScores) -> dict[str, float | None]:
    found = {"dev_cer": scores.dev_cer, "dev_wer": scores.dev_wer}
    if scores.dev_attention_cer is not None:
        found["dev_attention_cer"] = scores.dev_attention_cer
    if scores.dev_frame_error is not None:
        found["dev_frame_error"] = scores.dev_frame_error
    if scores.dev_class_error is not None:
        found["dev_class_error"] = scores.dev_class_error
    return found


@contextmanager
def _noting_the_end(folder: RunFolder, log: RunLog) -> Iterator[None]:
    """Write into run.json how the run ended, whatever happens, and into the log why it failed."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        with suppress(OutputError):  # what stopped the run is told, not what came of it
            folder.finish("interrupted")
        raise
    except BaseException as error:
        with suppress(OutputError):
            folder.finish("failed", reason=str(error))
            log.write_failure(error)
        raise
    folder.finish("finished")


@contextmanager
def _reporting_the_end(folder: RunFolder, log: RunLog) -> Iterator[None]:
    """Write the run's page however it ended."""
    try:
        yield
    finally:
        try:
            write_training_report(folder.path)
        except Exception as error:  # a page is not worth a run
            log.repeat(f"{folder.report}: not written ({error}); ctcasr report writes it anew")
