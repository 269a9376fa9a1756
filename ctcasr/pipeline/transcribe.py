"""Transcribe: recordings in, transcripts out, in input order and bounded memory.

Recordings are read ahead by threads; a window of them is sorted into batches of similar length,
and transcripts leave in input order. An item that fails becomes a transcript with an error; it
stops no other.
"""

import functools
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from ctcasr.config import DecodeConfig
from ctcasr.device import is_out_of_memory
from ctcasr.errors import AudioError
from ctcasr.frontends.waveform import (
    differing_channels,
    read_audio,
    read_audio_bytes,
    resample,
    select_channel,
)
from ctcasr.pipeline.inputs import Input, read_standard_input
from ctcasr.recognizer import Recognizer, Recording, describe_decoder
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


def transcribe_inputs(
    recognizer: Recognizer,
    inputs: Sequence[Input],
    *,
    decode: DecodeConfig | None = None,
    batch_size: int | None = None,
    workers: int = 2,
    split_channels: bool = True,
    tally: Tally | None = None,
) -> Iterator[tuple[Input, Transcript]]:
    """Yield a transcript for each input, in order; two or more where channels differ.

    Args:
        recognizer: the model.
        inputs: what to read.
        decode: how to search; the model's own way where not given.
        batch_size: most recordings computed together.
        workers: reading threads.
        split_channels: transcribe each of several channels that differ; else the item fails.
        tally: counted up while the transcripts are taken.
    """
    tally = tally if tally is not None else Tally()
    started = time.perf_counter()
    # Read here, since a thread that waits for a keyboard cannot be interrupted.
    standard_input = read_standard_input() if any(i.is_standard_input for i in inputs) else b""
    read = functools.partial(
        load_input, recognizer, split_channels=split_channels, standard_input=standard_input
    )
    for window in _windows(_read_ahead(read, inputs, max(1, workers))):
        loaded = [r for _, result in window if not isinstance(result, Failure) for r in result]
        done = iter(_transcribe_all(recognizer, loaded, decode, batch_size))
        for item, result in window:
            tally.items += 1
            if isinstance(result, Failure):
                transcripts = [_failed(recognizer, item, result, decode)]
            else:
                transcripts = list(itertools.islice(done, len(result)))
            for transcript in transcripts:
                _count(tally, transcript)
            if not isinstance(result, Failure):
                rate = result[0].stored_rate or recognizer.sample_rate
                tally.rates[rate] = tally.rates.get(rate, 0) + 1
            tally.seconds = time.perf_counter() - started
            for transcript in transcripts:
                yield item, transcript


def load_input(
    recognizer: Recognizer, item: Input, *, split_channels: bool = True, standard_input: bytes = b""
) -> list[Recording]:
    """Read one input; each channel by itself where channels differ, none is named, and it is asked.

    Args:
        recognizer: the model, whose rate is wanted.
        item: what to read.
        split_channels: whether it is asked.
        standard_input: the bytes meant by "-".

    Raises:
        AudioError: it cannot be read.
    """
    utterance = item.utterance
    if item.is_standard_input:
        stored, rate = read_audio_bytes(standard_input, "standard input")
    else:
        stored, rate = read_audio(
            utterance.audio, offset=utterance.offset, duration=utterance.duration
        )
    several = split_channels and utterance.channel is None and differing_channels(stored) > 1
    channels: Sequence[int | None] = range(len(stored)) if several else [utterance.channel]
    return [
        Recording(
            resample(
                select_channel(stored, channel=channel, item=utterance.id),
                from_rate=rate,
                to_rate=recognizer.sample_rate,
            ),
            id=f"{utterance.id}#{channel}" if several else utterance.id,
            source=str(utterance.audio),
            channel=channel,
            offset=utterance.offset,
            stored_rate=rate,
        )
        for channel in channels
    ]


_Read = list[Recording] | Failure


def _read_ahead(
    read: Callable[[Input], list[Recording]], inputs: Iterable[Input], workers: int
) -> Iterator[tuple[Input, _Read]]:
    def attempt(item: Input) -> _Read:
        try:
            return read(item)
        except AudioError as error:
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
            seconds += sum(len(recording.samples) for recording in result) / 16_000
        if seconds >= _WINDOW_SECONDS or len(window) >= _WINDOW_ITEMS:
            yield window
            window, seconds = [], 0.0
    if window:
        yield window


def _transcribe_all(
    recognizer: Recognizer,
    recordings: Sequence[Recording],
    decode: DecodeConfig | None,
    batch_size: int | None,
) -> list[Transcript]:
    """Transcribe a window; where a batch does not fit in memory, one recording at a time."""
    try:
        return recognizer.transcribe_batch(recordings, decode=decode, batch_size=batch_size)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    return [_transcribe_alone(recognizer, recording, decode) for recording in recordings]


def _transcribe_alone(
    recognizer: Recognizer, recording: Recording, decode: DecodeConfig | None
) -> Transcript:
    try:
        return recognizer.transcribe_batch([recording], decode=decode)[0]
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        seconds = len(recording.samples) / recognizer.sample_rate
        message = (
            f"{recording.source}: {seconds:.0f} s do not fit in memory; cut the recording into "
            f"shorter ones"
        )
        return Transcript(
            id=recording.id,
            source=recording.source,
            channel=recording.channel,
            model=recognizer.describe_model(),
            decoder=describe_decoder(decode or recognizer.config.decode),
            error=Failure("OutOfMemory", message),
        )


def _failed(
    recognizer: Recognizer, item: Input, failure: Failure, decode: DecodeConfig | None
) -> Transcript:
    return Transcript(
        id=item.utterance.id,
        source=str(item.utterance.audio),
        channel=item.utterance.channel,
        model=recognizer.describe_model(),
        decoder=describe_decoder(decode or recognizer.config.decode),
        offset=item.utterance.offset,
        error=failure,
    )


def _count(tally: Tally, transcript: Transcript) -> None:
    if transcript.error is not None:
        tally.failed += 1
    tally.audio_seconds += transcript.duration or 0.0
