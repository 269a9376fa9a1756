"""Training batches, read ahead of the step by threads.

Decoding and resampling run in C without Python's lock, so threads keep up with the step and
nothing needs to be pickled, forked or spawned. A thread makes a whole batch, padding included: the
training thread only takes it, and does not compete for Python's lock once per utterance. Every
draw is keyed, so how far the threads run ahead changes nothing. Where data gives out, the batch in
question has not been taken, and the run can be saved as it is.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ctcasr.alphabet import frames_needed
from ctcasr.batching import (
    Batch,
    Stretch,
    classify_frames,
    pad_classes,
    pad_labels,
    pad_signals,
    plan_batches,
    stack_classes,
)
from ctcasr.distributed import ALONE, World
from ctcasr.errors import ItemError, TrainingError
from ctcasr.frontends.draws import keyed_generator
from ctcasr.frontends.media import Frontend
from ctcasr.frontends.medium import Medium, Signal
from ctcasr.manifest.utterance import Utterance

_BATCHES_PER_WORKER = 2  # one under way and one ready
_SHORTER = 0.98  # share of its planned length that an example falls below by a wrong duration alone


class LoadingError(TrainingError):
    """Training data gave out; nothing of the batch in question was used."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """An utterance and what is learned from it.

    Attributes:
        labels: ids, for the CTC head; none where there is no such head.
        amount: how long it is, in the unit of its medium: seconds of a recording.
        utterance_class: the one label of the whole, for the utterance head.
        stretches: what is heard when, for the frame head.
    """

    utterance: Utterance
    labels: tuple[int, ...]
    amount: float
    utterance_class: int | None = None
    stretches: tuple[Stretch, ...] = ()


class Items(Protocol):
    """A training set, by number: held in memory, or read when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Labelled | None:
        """Return an item; None where it cannot be used."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """One example of an epoch: the items it joins and what is done to them."""

    id: str
    parts: tuple[Labelled, ...]
    pauses_ms: tuple[float, ...]
    drawn: Any  # of its medium

    @property
    def amounts(self) -> list[float]:
        return [part.amount for part in self.parts]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An example that had to be left out while training ran.

    Attributes:
        id: of the item that could not be read; the example may join it with others.
        reason: why not.
    """

    id: str
    reason: str


class _PartError(ItemError):
    """An item of an example cannot be read."""

    def __init__(self, item: str, reason: str) -> None:
        self.id = item
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """What became of a planned batch.

    Attributes:
        batch: of all that could be read; None where nothing could.
        unreadable: the rest, one for each example.
    """

    batch: Batch | None
    unreadable: tuple[Unreadable, ...]


class ItemCache:
    """Items as their medium keeps them, up to a limit; beyond it they are read each time."""

    def __init__(self, medium: Medium[Any, Any], *, limit_mb: int) -> None:
        self._medium = medium
        self._free_bytes = limit_mb * 2**20
        self._kept: dict[str, Any] = {}
        self._lock = threading.Lock()

    def load(self, utterance: Utterance) -> Any:
        """Return an item.

        Raises:
            ItemError: see `Medium.load`.
        """
        kept = self._kept.get(utterance.id)
        if kept is not None:
            return kept
        loaded = self._medium.load(utterance)
        size = self._medium.num_bytes(loaded)
        with self._lock:
            if size <= self._free_bytes and utterance.id not in self._kept:
                self._free_bytes -= size
                self._kept[utterance.id] = loaded
        return loaded


class TrainingData:
    """The training set, as one sequence of batches per epoch.

    An epoch is planned round by round: examples are drawn, and batches made, of so many items at a
    time. Of what a round holds, alone the seed and the epoch decide; one round holds all where
    nothing else is said.

    Args:
        items: the utterances; ids are unique.
        frontend: what they will become.
        medium: that reads and varies them.
        num_encoder_frames: N positions -> T', the frames that labels are aligned with.
        frame_s: seconds from one frame to the next, where each is to have a class; None where not.
        space: label ids between joined transcripts; empty where words are labels.
        batch_frames: most feature frames in a batch, padding included; may be set anew.
        batch_size: most utterances in a batch; None sets no limit.
        seed: of every draw.
        workers: reading threads; 0 reads in the training thread.
        cache_mb: memory for items that were read.
        max_unreadable: items that may turn unreadable before `LoadingError` is raised; None
            sets no limit.
        round_items: items planned at a time; None plans all at once.
    """

    def __init__(
        self,
        items: Items,
        *,
        frontend: Frontend,
        medium: Medium[Any, Any],
        num_encoder_frames: Callable[[int], int],
        frame_s: float | None = None,
        space: tuple[int, ...],
        batch_frames: int,
        batch_size: int | None = None,
        seed: int,
        workers: int,
        cache_mb: int,
        max_unreadable: int | None = None,
        round_items: int | None = None,
    ) -> None:
        self.max_unreadable = max_unreadable
        self.items = items
        self._frontend = frontend
        self._medium = medium
        self._num_encoder_frames = num_encoder_frames
        self._frame_s = frame_s
        self._space = space
        self.batch_frames = batch_frames
        self._batch_size = batch_size
        self._seed = seed
        self._workers = workers
        self._cache = ItemCache(medium, limit_mb=cache_mb)
        self.num_rounds = -(-len(items) // round_items) if round_items else 1

    @property
    def unit(self) -> str:
        """Of the items' amounts."""
        return self._medium.unit

    def epoch(
        self,
        epoch: int,
        *,
        first_round: int = 0,
        first_batch: int = 0,
        unreadable: Collection[str] = (),
        world: World = ALONE,
    ) -> "EpochBatches":
        """Return the batches of epoch 0, 1, ...

        Args:
            epoch: which.
            first_round: the first one wanted.
            first_batch: of that round.
            unreadable: ids of the items that could not be read before.
            world: the processes that share each batch; the plan does not depend on them.

        Raises:
            LoadingError: nothing of a round can be used.
        """
        return EpochBatches(
            self,
            self._rounds(epoch, first_round),
            first_round=first_round,
            first_batch=first_batch,
            workers=self._workers,
            unreadable=unreadable,
            world=world,
        )

    def lengths(self) -> list[int]:
        """Return the feature frames of each example of the first epoch's first round."""
        return [self._num_frames(plan) for plan in self._first_plans()]

    def fullest_batch(self, max_frames: int) -> Batch | None:
        """Return one of the largest batches, if batches had so many frames at most.

        It is of the first epoch's first examples; None where none of them can be read.
        """
        plans = self._first_plans()
        lengths = [self._num_frames(plan) for plan in plans]
        batches = plan_batches(lengths, max_frames=max_frames, max_items=self._batch_size)
        fullest = max(batches, key=lambda batch: len(batch) * lengths[batch[0]])
        return self.load_batch([plans[index] for index in fullest]).batch

    def _first_plans(self) -> list[_Plan]:
        return self._plan_examples(next(self._numbers(0)), 0)

    def _rounds(self, epoch: int, first: int) -> Iterator[list[list[_Plan]]]:
        """Yield the batches of each round of an epoch from the first one wanted."""
        for number, numbers in enumerate(self._numbers(epoch)):
            if number < first:
                continue
            plans = self._plan_examples(numbers, epoch)
            if not plans:
                raise LoadingError(
                    f"epoch {epoch + 1}: none of {len(numbers):,} utterances in a row can be used, "
                    f"see skipped.jsonl; run ctcasr check"
                )
            key = (self._seed, epoch, number) if self.num_rounds > 1 else (self._seed, epoch)
            batches = plan_batches(
                [self._num_frames(plan) for plan in plans],
                max_frames=self.batch_frames,
                max_items=self._batch_size,
                generator=keyed_generator("batches", *key),
            )
            yield [[plans[index] for index in batch] for batch in batches]

    def _numbers(self, epoch: int) -> Iterator[Sequence[int]]:
        """Yield which items each round of an epoch holds."""
        if self.num_rounds == 1:
            yield range(len(self.items))
            return
        order = np.arange(len(self.items), dtype=np.int32)
        keyed_generator("rounds", self._seed, epoch).shuffle(order)
        for numbers in np.array_split(order, self.num_rounds):
            yield numbers.tolist()

    def _plan_examples(self, numbers: Sequence[int], epoch: int) -> list[_Plan]:
        """Draw what becomes of the usable ones of some items in one epoch."""
        found = (self.items[number] for number in numbers)
        items = sorted((one for one in found if one), key=lambda item: item.utterance.id)
        companions = _by_speaker(items)
        return [self._plan(item, companions[item.utterance.speaker], epoch) for item in items]

    def _plan(self, item: Labelled, companions: Sequence[Labelled], epoch: int) -> _Plan:
        """Draw what becomes of one utterance in one epoch; companions are its speaker's."""
        name = item.utterance.id
        parts, pauses = self._draw_companions(item, companions, epoch)
        drawn = self._medium.draw(seed=self._seed, epoch=epoch, item=name)
        plan = _Plan(name, parts, pauses, drawn)
        if not self._suffices(plan, self._num_positions(plan)):
            # It can be aligned as it is, or it would not be here.
            plan = replace(plan, drawn=self._medium.unhurried(drawn))
        return plan

    def _num_positions(self, plan: _Plan) -> int:
        amount = self._medium.planned_amount(plan.amounts, plan.pauses_ms, plan.drawn)
        return int(amount * self._medium.rate)

    def _num_frames(self, plan: _Plan) -> int:
        return max(1, self._frontend.num_frames(self._num_positions(plan)))

    def _suffices(self, plan: _Plan, num_positions: int) -> bool:
        """Return whether so many positions give the frames that the labels need."""
        return self._num_encoder_frames(num_positions) >= frames_needed(self._labels(plan))

    def _draw_companions(
        self, item: Labelled, companions: Sequence[Labelled], epoch: int
    ) -> tuple[tuple[Labelled, ...], tuple[float, ...]]:
        """Draw what follows an utterance, and the pauses in between, in ms."""
        joining = self._medium.joining
        parts, pauses = [item], []
        if joining is not None:
            generator = keyed_generator("join", self._seed, epoch, item.utterance.id)
            amount = item.amount
            for _ in range(int(generator.integers(joining.most))):
                other = companions[int(generator.integers(len(companions)))]
                pause_ms = float(generator.uniform(*joining.pause_ms))
                amount += other.amount + pause_ms / 1000
                if amount > joining.longest:
                    break
                parts.append(other)
                pauses.append(pause_ms)
        return tuple(parts), tuple(pauses)

    def load_batch(self, plans: Sequence[_Plan]) -> LoadedBatch:
        """Read, join and distort examples and pad them into a batch; runs in any thread."""
        kept: list[_Plan] = []
        signals: list[Signal] = []
        unreadable: list[Unreadable] = []
        for plan in plans:
            try:
                signals.append(self._load_example(plan))
                kept.append(plan)
            except _PartError as error:
                unreadable.append(Unreadable(error.id, str(error)))
        return LoadedBatch(self._collate(kept, signals) if kept else None, tuple(unreadable))

    def _load_example(self, plan: _Plan) -> Signal:
        parts = [self._load_part(part.utterance) for part in plan.parts]
        signal = self._medium.make(
            parts, plan.pauses_ms, plan.drawn, suffices=partial(self._suffices, plan)
        )
        planned = self._num_positions(plan)
        if len(signal) < _SHORTER * planned and not self._suffices(plan, len(signal)):
            rate, unit = self._medium.rate, self._medium.unit
            raise _PartError(
                plan.id,
                f"too short for its {len(self._labels(plan))} labels: {len(signal) / rate:.2f} "
                f"{unit}, where {planned / rate:.2f} {unit} were planned; correct its duration",
            )
        return signal

    def _load_part(self, utterance: Utterance) -> Any:
        try:
            return self._cache.load(utterance)
        except ItemError as error:
            raise _PartError(utterance.id, str(error)) from error

    def _collate(self, plans: Sequence[_Plan], signals: Sequence[Signal]) -> Batch:
        padded, lengths = pad_signals(signals)
        labels, label_lengths = pad_labels([self._labels(plan) for plan in plans])
        distortion = self._medium.feature_distortion(
            [plan.drawn for plan in plans], [len(signal) for signal in signals]
        )
        ids = tuple(plan.id for plan in plans)
        # Joined recordings are of one speaker, the only class that may be joined.
        classes = stack_classes([plan.parts[0].utterance_class for plan in plans])
        frames = None
        if self._frame_s is not None:
            frames = pad_classes(
                [
                    self._frame_classes(plan, len(signal), frame_s=self._frame_s)
                    for plan, signal in zip(plans, signals, strict=True)
                ]
            )
        return Batch(ids, padded, lengths, labels, label_lengths, distortion, classes, frames)

    def _frame_classes(
        self, plan: _Plan, num_positions: int, *, frame_s: float
    ) -> NDArray[np.int64]:
        """Return (T',) what is heard in each frame of an example, joined and distorted."""
        placements = self._medium.placements(plan.amounts, plan.pauses_ms, plan.drawn)
        stretches = [
            Stretch(first + one.start * scale, first + one.end * scale, one.label)
            for part, (first, scale) in zip(plan.parts, placements, strict=True)
            for one in part.stretches
        ]
        return classify_frames(stretches, self._num_encoder_frames(num_positions), frame_s=frame_s)

    def _labels(self, plan: _Plan) -> tuple[int, ...]:
        labels = plan.parts[0].labels
        for part in plan.parts[1:]:
            labels += (self._space if labels and part.labels else ()) + part.labels
        return labels


@dataclass(frozen=True, slots=True)
class _Share:
    """One process's share of a batch: which of its round, of how many there, and the examples."""

    round: int
    index: int
    in_round: int
    plans: Sequence[_Plan]


class EpochBatches:
    """Iterates over the batches of one epoch and counts what a reader wants to know.

    Of several processes each gets its share of every batch, which may be no utterance at all; what
    cannot be read is known to all.

    Attributes:
        round: the one under way.
        position: batches of it that are taken, those without a readable recording too.
        waited: seconds the training thread has waited for data, and for other processes'.
        unreadable: examples that failed so far; their batch went on without them.
    """

    def __init__(
        self,
        data: TrainingData,
        rounds: Iterator[list[list[_Plan]]],
        *,
        first_round: int,
        first_batch: int,
        workers: int,
        unreadable: Collection[str],
        world: World,
    ) -> None:
        self._data = data
        self._world = world
        self._all_unreadable = set(unreadable)  # recordings, in all epochs
        self._rounds = rounds
        self._workers = workers
        self.unreadable: list[Unreadable] = []
        self.round = first_round
        self.position = first_batch
        self._begun = self._next_round() or []
        self._in_round = len(self._begun)
        self.waited = 0.0

    @property
    def num_batches(self) -> int:
        """Batches in the whole epoch; estimated by the round under way where it has several."""
        return self._in_round * self._data.num_rounds

    @property
    def done(self) -> float:
        """Share of the epoch that is taken."""
        return (self.round + self.position / self._in_round) / self._data.num_rounds

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order, reading ahead.

        Raises:
            LoadingError: too many items are unreadable, or reading failed otherwise.
        """
        todo = self._shares()
        if self._workers == 0:
            for share in todo:
                yield from self._take(share, partial(self._data.load_batch, share.plans))
            return
        with ThreadPoolExecutor(self._workers, thread_name_prefix="loading") as pool:
            ahead: deque[tuple[_Share, Future[LoadedBatch]]] = deque()
            try:
                while True:
                    while len(ahead) < _BATCHES_PER_WORKER * self._workers and (
                        (coming := next(todo, None)) is not None
                    ):
                        ahead.append((coming, pool.submit(self._data.load_batch, coming.plans)))
                    if not ahead:
                        return
                    share, loading = ahead.popleft()
                    yield from self._take(share, loading.result)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _shares(self) -> "Iterator[_Share]":
        """Yield this process's shares of the batches to come, round after round."""
        number, first = self.round, self.position
        batches: list[list[_Plan]] | None = self._begun
        while batches is not None:
            for index, batch in enumerate(batches[first:], start=first):
                yield _Share(number, index, len(batches), self._world.share_of(batch))
            started = time.perf_counter()
            number, first, batches = number + 1, 0, self._next_round()
            self.waited += time.perf_counter() - started

    def _next_round(self) -> list[list[_Plan]] | None:
        with self._world.agreed():
            return next(self._rounds, None)

    def _take(self, share: "_Share", load: Callable[[], LoadedBatch]) -> Iterator[Batch]:
        """Yield the next batch, if anything of it could be read."""
        started = time.perf_counter()
        with self._world.agreed():
            loaded = self._finish_loading(share.plans, load)
        shares = self._world.gather((loaded.unreadable, loaded.batch is not None))
        self.waited += time.perf_counter() - started
        unreadable = [one for share, _ in shares for one in share]
        with self._world.agreed():
            self._require_few(unreadable)
        self.unreadable.extend(unreadable)
        self.round, self.position, self._in_round = share.round, share.index + 1, share.in_round
        if any(has_batch for _, has_batch in shares):
            yield loaded.batch or Batch((), *pad_signals([]), *pad_labels([]))

    def _finish_loading(
        self, plans: Sequence[_Plan], load: Callable[[], LoadedBatch]
    ) -> LoadedBatch:
        try:
            return load()
        except Exception as error:  # whatever a library raises; the thread is not the one to say it
            raise LoadingError(
                f"the batch of {', '.join(plan.id for plan in plans)} could not be made: "
                f"{type(error).__name__}: {error}; look at these recordings, and go on with "
                f"--resume"
            ) from error

    def _require_few(self, unreadable: Sequence[Unreadable]) -> None:
        self._all_unreadable.update(one.id for one in unreadable)
        limit = self._data.max_unreadable
        if limit is not None and len(self._all_unreadable) > limit:
            last = unreadable[-1]
            raise LoadingError(
                f"recordings that turned unreadable while training ran: "
                f"{len(self._all_unreadable)}, data.max_unreadable allows {limit}; the last: "
                f"{last.id}: {last.reason}; put them back, and go on with --resume"
            )


def _by_speaker(items: Sequence[Labelled]) -> Mapping[str | None, list[Labelled]]:
    groups: dict[str | None, list[Labelled]] = {}
    for item in items:
        groups.setdefault(item.utterance.speaker, []).append(item)
    return groups
