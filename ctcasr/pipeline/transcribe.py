"""Transcribe: recordings in, transcripts out, in input order and bounded memory.

Recordings are read ahead by threads; a window of them is sorted into batches of similar length,
and transcripts leave in input order. An item that fails becomes a transcript with an error; it
stops no other.
"""

import functools
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ctcasr.decode_config import DecodeConfig
from ctcasr.device import is_out_of_memory
from ctcasr.distributed import ALONE, World
from ctcasr.errors import ItemError
from ctcasr.items import Item, read_items, unread_item
from ctcasr.pipeline.inputs import Input, read_standard_input
from ctcasr.places import Places
from ctcasr.recognizer import Recognizer, Watch
from ctcasr.transcript import Failure, Transcript

_WINDOW_SECONDS = 600.0  # audio held at a time, unless a single recording is longer
_WINDOW_ITEMS = 64


@dataclass(slots=True)
class Tally:
    """What a run of `transcribe` has done so far.

    Attributes:
        items, failed: recordings asked for, and those that gave no text.
        audio_seconds: transcribed; seconds: it took.
        rates: how many recordings were stored at each rate, in Hz.
    """

    items: int = 0
    failed: int = 0
    audio_seconds: float = 0.0
    seconds: float = 0.0
    rates: dict[int, int] = field(default_factory=dict)

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of work per second of audio; None for no audio."""
        return self.seconds / self.audio_seconds if self.audio_seconds else None

    def add(self, other: "Tally") -> None:
        """Count what others have done in the same time."""
        self.items += other.items
        self.failed += other.failed
        self.audio_seconds += other.audio_seconds
        for rate, count in other.rates.items():
            self.rates[rate] = self.rates.get(rate, 0) + count


def transcribe_inputs(
    recognizer: Recognizer,
    inputs: Sequence[Input],
    *,
    decode: DecodeConfig | None = None,
    batch_size: int | None = None,
    workers: int = 2,
    split_channels: bool = True,
    tally: Tally | None = None,
    watch: Watch | None = None,
    world: World = ALONE,
) -> Iterator[tuple[Input, Transcript]]:
    """Return an iterator over a transcript of each input, in order; more where channels differ.

    Args:
        recognizer: the model.
        inputs: what to read.
        decode: how to search; the model's own way where not given.
        batch_size: most recordings computed together.
        workers: threads that read recordings ahead, and that search.
        split_channels: transcribe each of several channels that differ; else the item fails.
        tally: counted up while the transcripts are taken.
        watch: is shown how each transcript came about.
        world: the processes that share the inputs, all with the same ones; each gets the
            transcripts of all, and its `watch` is shown those that it made.

    Raises:
        CtcasrError: the search cannot be had; see `Recognizer.decoder`.
    """
    decoder = recognizer.describe_decoder(decode, workers=workers)

    def transcribe(recordings: Sequence[Item], most: int | None) -> list[Transcript]:
        return recognizer.transcribe_batch(
            recordings, decode=decode, batch_size=most, workers=workers, watch=watch
        )

    def run(some: Sequence[Input], tally: Tally | None) -> Iterator[tuple[Input, Transcript]]:
        return run_inputs(
            recognizer,
            some,
            transcribe,
            decoder=decoder,
            batch_size=batch_size,
            workers=workers,
            split_channels=split_channels,
            tally=tally,
        )

    if world.size == 1:
        return run(inputs, tally)
    return _run_together(world, inputs, run, tally if tally is not None else Tally())


Run = Callable[[Sequence[Input], Tally | None], Iterator[tuple[Input, Transcript]]]
"""Inputs and a tally to count in -> their transcripts, in order."""


def _run_together(
    world: World, inputs: Sequence[Input], run: Run, tally: Tally
) -> Iterator[tuple[Input, Transcript]]:
    """Yield a transcript for each input, in order, of which each process makes its share."""
    started = time.perf_counter()
    size = world.size * _WINDOW_ITEMS
    for first in range(0, len(inputs), size):
        block = inputs[first : first + size]
        mine = Tally()
        with world.agreed():
            done: dict[int, list[Transcript]] = {id(item): [] for item in world.share_of(block)}
            for item, transcript in run(world.share_of(block), mine):
                done[id(item)].append(transcript)
        shares = world.gather((list(done.values()), mine))
        for _, others in shares:
            tally.add(others)
        tally.seconds = time.perf_counter() - started
        for number, item in enumerate(block):
            transcripts, _ = shares[number % world.size]
            for transcript in transcripts[number // world.size]:
                yield item, transcript


Compute = Callable[[Sequence[Item], int | None], list[Transcript]]
"""Recordings and the most of them computed together -> transcripts, in the same order."""


def run_inputs(
    recognizer: Recognizer,
    inputs: Sequence[Input],
    compute: Compute,
    *,
    decoder: Mapping[str, Any],
    batch_size: int | None,
    workers: int,
    split_channels: bool,
    tally: Tally | None,
) -> Iterator[tuple[Input, Transcript]]:
    """Yield a transcript for each input, in order: what `transcribe` and `align` have in common.

    Args:
        recognizer: whose rate is wanted, and whose name stands in the transcripts of failed items.
        inputs: what to read.
        compute: what to do with what was read.
        decoder: how failed items would have been decoded.
        batch_size: most recordings computed together.
        workers: reading threads.
        split_channels: compute each of several channels that differ; else the item fails.
        tally: counted up while the transcripts are taken.
    """
    tally = tally if tally is not None else Tally()
    started = time.perf_counter()
    # Read here, since a thread that waits for a keyboard cannot be interrupted.
    standard_input = read_standard_input() if any(i.is_standard_input for i in inputs) else b""
    read = functools.partial(
        load_input, recognizer, split_channels=split_channels, standard_input=standard_input
    )
    failed = functools.partial(_failed, model=recognizer.describe_model(), decoder=decoder)
    for window in _windows(_read_ahead(read, inputs, max(1, workers))):
        loaded = [r for _, result in window if not isinstance(result, Failure) for r in result]
        done = iter(_compute_all(compute, loaded, batch_size, recognizer.places, failed))
        for item, result in window:
            tally.items += 1
            if isinstance(result, Failure):
                transcripts = [failed(unread_item(item.utterance), result)]
            else:
                transcripts = list(itertools.islice(done, len(result)))
            for transcript in transcripts:
                _count(tally, transcript)
            if not isinstance(result, Failure):
                _count_rate(tally, result[0].stored_rate)
            tally.seconds = time.perf_counter() - started
            for transcript in transcripts:
                yield item, transcript


def load_input(
    recognizer: Recognizer, item: Input, *, split_channels: bool = True, standard_input: bytes = b""
) -> list[Item]:
    """Read one input; each channel by itself where channels differ, none is named, and it is asked.

    Args:
        recognizer: the model, whose frontend says what is wanted.
        item: what to read.
        split_channels: whether it is asked.
        standard_input: the bytes meant by "-".

    Raises:
        ItemError: it cannot be read.
    """
    return read_items(
        item.utterance,
        recognizer.config.frontend,
        split_channels=split_channels,
        content=standard_input if item.is_standard_input else None,
    )


_Read = list[Item] | Failure


def _read_ahead(
    read: Callable[[Input], list[Item]], inputs: Iterable[Input], workers: int
) -> Iterator[tuple[Input, _Read]]:
    def attempt(item: Input) -> _Read:
        try:
            return read(item)
        except ItemError as error:
            return Failure(type(error).__name__, str(error))

    todo = iter(inputs)
    with ThreadPoolExecutor(workers, thread_name_prefix="reading") as pool:
        ahead: deque[tuple[Input, Future[_Read]]] = deque()
        try:
            while True:
                while len(ahead) < 2 * workers and (item := next(todo, None)):
                    ahead.append((item, pool.submit(attempt, item)))
                if not ahead:
                    return
                item, job = ahead.popleft()
                yield item, job.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _windows(
    items: Iterable[tuple[Input, _Read]],
) -> Iterator[list[tuple[Input, _Read]]]:
    """Group what was read, so that batches can be sorted by length without holding it all."""
    window: list[tuple[Input, _Read]] = []
    seconds = 0.0
    for item, result in items:
        window.append((item, result))
        if not isinstance(result, Failure):
            # 16 kHz stands in for the model's rate: only the order of magnitude matters.
            seconds += sum(recording.signal.size for recording in result) / 16_000
        if seconds >= _WINDOW_SECONDS or len(window) >= _WINDOW_ITEMS:
            yield window
            window, seconds = [], 0.0
    if window:
        yield window


def _compute_all(
    compute: Compute,
    recordings: Sequence[Item],
    batch_size: int | None,
    places: Places,
    failed: Callable[[Item, Failure], Transcript],
) -> list[Transcript]:
    """Compute a window; where a batch does not fit in memory, one recording at a time."""
    try:
        return compute(recordings, batch_size)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    return [_compute_alone(compute, recording, places, failed) for recording in recordings]


def _compute_alone(
    compute: Compute,
    recording: Item,
    places: Places,
    failed: Callable[[Item, Failure], Transcript],
) -> Transcript:
    try:
        return compute([recording], 1)[0]
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        message = (
            f"{recording.source}: {places.extent(recording):.0f} {places.unit} do not fit in "
            f"memory; cut the item into shorter ones"
        )
        return failed(recording, Failure("OutOfMemory", message))


def _failed(
    recording: Item, failure: Failure, *, model: Mapping[str, Any], decoder: Mapping[str, Any]
) -> Transcript:
    return Transcript(
        id=recording.id,
        source=recording.source,
        channel=recording.channel,
        model=model,
        decoder=decoder,
        offset=recording.offset,
        error=failure,
    )


def _count_rate(tally: Tally, rate: int | None) -> None:
    if rate is not None:
        tally.rates[rate] = tally.rates.get(rate, 0) + 1


def _count(tally: Tally, transcript: Transcript) -> None:
    if transcript.error is not None:
        tally.failed += 1
    if transcript.axis == "s":
        tally.audio_seconds += transcript.duration or 0.0
