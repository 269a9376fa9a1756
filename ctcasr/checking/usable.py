"""What `train` needs to know before it starts: which utterances it can learn from.

The fatal part of a check, from text and audio headers alone, so that it costs milliseconds per
file. Only a file of several channels without a `channel` is read, because a header does not say
whether they differ.
"""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from ctcasr.alphabet import Alphabet
from ctcasr.checking.alignment_checks import infeasible_alignment
from ctcasr.checking.audio_checks import unusable_audio, unusable_channel
from ctcasr.checking.class_checks import unusable_class
from ctcasr.checking.findings import Unusable
from ctcasr.checking.frame_checks import unusable_stretches
from ctcasr.checking.text_checks import unusable_text
from ctcasr.errors import AudioError
from ctcasr.frontends.waveform import (
    AudioInfo,
    probe_audio,
    read_audio,
    resampled_length,
    segment_frames,
    select_channel,
)
from ctcasr.manifest.utterance import Utterance
from ctcasr.text_rules import apply_rules


def find_usable(
    utterances: Sequence[Utterance],
    *,
    alphabet: Alphabet | None,
    rules: Sequence[str],
    sample_rate: int,
    num_frames: Callable[[int], int],
    class_field: str | None = None,
    classes: Collection[str] = (),
    frame_field: str | None = None,
    frame_classes: Collection[str] = (),
    workers: int = 2,
) -> tuple[list[tuple[Utterance, float]], list[Unusable]]:
    """Divide utterances into those that can be learned from and those that cannot, by name.

    Args:
        utterances: of one manifest.
        alphabet: the labels of the model; None where it writes no text.
        rules: text rules applied before labels are looked up.
        sample_rate: Hz, of the model.
        num_frames: N samples at the model's rate -> T' encoder frames.
        class_field: whose value is the one label of a recording; None where none is learned.
        classes: these labels, where they are.
        frame_field: that says what is heard when; None where that is not learned.
        frame_classes: the labels of frames, where it is.
        workers: threads that open files.

    Returns:
        (utterance, seconds) of the usable ones, where seconds is its length at the model's rate,
        and the others with the first reason found; both in the order given.
    """

    def judge(utterance: Utterance) -> int | Unusable:
        unusable = None
        if alphabet is not None:
            unusable = unusable_text(utterance, alphabet=alphabet, rules=rules)
        if unusable is None and class_field is not None:
            unusable = unusable_class(utterance, class_field, classes=classes, rules=rules)
        if unusable is None and frame_field is not None:
            unusable = unusable_stretches(utterance, frame_field, classes=frame_classes)
        if unusable is not None:
            return unusable
        num_samples = _length(utterance, sample_rate)
        if isinstance(num_samples, Unusable):
            return num_samples
        text = apply_rules(utterance.text or "", rules)
        labels = () if alphabet is None else alphabet.encode(text)
        infeasible = infeasible_alignment(
            utterance, labels, num_samples=num_samples, num_frames=num_frames
        )
        return num_samples if infeasible is None else infeasible

    usable: list[tuple[Utterance, float]] = []
    unusable: list[Unusable] = []
    with ThreadPoolExecutor(workers) as pool:
        for utterance, verdict in zip(utterances, pool.map(judge, utterances), strict=True):
            if isinstance(verdict, Unusable):
                unusable.append(verdict)
            else:
                usable.append((utterance, verdict / sample_rate))
    return usable, unusable


def _length(utterance: Utterance, sample_rate: int) -> int | Unusable:
    """Return N at the model's rate, from the header."""
    try:
        info = probe_audio(utterance.path)
        first, last = segment_frames(
            info,
            offset=utterance.offset,
            duration=utterance.duration,
            name=str(utterance.path),
        )
    except AudioError as error:
        return unusable_audio(utterance, error)
    try:
        _require_channel(utterance, info)
    except AudioError as error:
        return unusable_channel(utterance, error)
    return resampled_length(last - first, from_rate=info.rate, to_rate=sample_rate)


def _require_channel(utterance: Utterance, info: AudioInfo) -> None:
    if utterance.channel is None and info.channels == 1:
        return
    samples, _ = read_audio(utterance.path, offset=utterance.offset, duration=utterance.duration)
    select_channel(samples, channel=utterance.channel, item=str(utterance.path))
