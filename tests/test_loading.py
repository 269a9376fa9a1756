import dataclasses
import threading

import numpy as np
import pytest
import soundfile
import torch

from ctcasr.batching import plan_batches
from ctcasr.frontends.sound.augmentation import NO_AUGMENTATION, AugmentConfig
from ctcasr.frontends.sound.recordings import Recordings
from ctcasr.frontends.sound.spectral import FrontendConfig
from ctcasr.training.loading import LoadingError, TrainingData

FRONTEND = FrontendConfig(sample_rate=8_000, num_mels=20)
STRONG = AugmentConfig(noise_probability=0.5, join_items=3, join_pause_ms=(20, 90))
SPACE = (1,)


def make(items, *, augment=NO_AUGMENTATION, **values):
    settings = {"batch_frames": 150, "seed": 1, "workers": 0, "cache_mb": 64} | values
    return TrainingData(
        items,
        frontend=FRONTEND,
        medium=Recordings(FRONTEND, augment),
        num_encoder_frames=FRONTEND.num_frames,
        space=SPACE,
        **settings,
    )


def assert_equal_batches(some, others):
    assert [batch.ids for batch in some] == [batch.ids for batch in others]
    for one, other in zip(some, others, strict=True):
        for name in ("signals", "lengths", "labels", "label_lengths"):
            assert torch.equal(getattr(one, name), getattr(other, name))
        for field in dataclasses.fields(one.distortion):
            mine, theirs = (getattr(b.distortion, field.name) for b in (one, other))
            assert torch.equal(mine, theirs)


def spoil(item):
    """Cut a recording short; return its file."""
    audio = item.utterance.path
    audio.write_bytes(audio.read_bytes()[:2_000])
    return audio


# Order and draws


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_do_not_depend_on_the_number_of_workers(tone_items, workers):
    alone = [*make(tone_items, augment=STRONG).epoch(2)]
    together = [*make(tone_items, augment=STRONG, workers=workers).epoch(2)]

    assert len(alone) > 2
    assert_equal_batches(alone, together)


def test_batches_do_not_depend_on_the_order_of_the_manifest(tone_items):
    assert_equal_batches(
        [*make(tone_items, augment=STRONG).epoch(0)],
        [*make(tone_items[::-1], augment=STRONG).epoch(0)],
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_begun_in_the_middle_goes_on_as_the_whole_one(tone_items, workers):
    data = make(tone_items, augment=STRONG, workers=workers)
    whole = [*data.epoch(3)]

    rest = data.epoch(3, first_batch=2)

    assert rest.position == 2
    assert_equal_batches(whole[2:], [*rest])
    assert rest.position == rest.num_batches == len(whole)


def test_each_epoch_holds_every_utterance_once_and_differs_from_the_others(tone_items):
    data = make(tone_items, augment=STRONG)
    epochs = [[*data.epoch(number)] for number in range(3)]

    for batches in epochs:
        ids = sorted(name for batch in batches for name in batch.ids)
        assert ids == sorted(item.utterance.id for item in tone_items)
    lengths = {tuple(n for batch in batches for n in batch.lengths.tolist()) for batches in epochs}
    assert len(lengths) == 3


def test_without_augmentation_the_recordings_come_as_they_are(tone_items):
    by_id = {item.utterance.id: item for item in tone_items}

    for batch in make(tone_items).epoch(0):
        for row, length, name, labels, size in zip(
            batch.signals,
            batch.lengths,
            batch.ids,
            batch.labels,
            batch.label_lengths,
            strict=True,
        ):
            recorded, _ = soundfile.read(by_id[name].utterance.path, dtype="float32")
            assert np.array_equal(row[:length].numpy(), recorded)
            assert not row[length:].any()
            assert tuple(labels[:size].tolist()) == by_id[name].labels


def test_planned_lengths_are_the_real_ones_and_batches_keep_their_budget(tone_items):
    augment = STRONG.model_copy(update={"speed": (0.8, 1.2), "shift_ms": 50.0})
    batches = make(tone_items, augment=augment, batch_frames=600).epoch(0)

    each = [[FRONTEND.num_frames(n) for n in batch.lengths.tolist()] for batch in batches]
    for frames in each:
        assert len(frames) * max(frames) <= 600 + len(frames) or len(frames) == 1
    real = [size for frames in each for size in frames]
    by_real = plan_batches(real, max_frames=600)
    assert sorted(map(len, each)) == sorted(map(len, by_real))
    assert len(each) > 2


def test_masks_stay_inside_the_valid_frames(tone_items):
    for batch in make(tone_items).epoch(0):
        assert batch.distortion.time_masks.shape == (len(batch.ids), 0, 2)
    for batch in make(tone_items, augment=STRONG).epoch(0):
        ends = batch.distortion.time_masks[..., 1]
        assert (ends <= torch.tensor([[FRONTEND.num_frames(int(n))] for n in batch.lengths])).all()


# Joined utterances


def joins(items, **values):
    """Every example of four epochs, all joined alike: labels and samples by id."""
    augment = NO_AUGMENTATION.model_copy(
        update={"join_items": 3, "join_pause_ms": (50.0, 50.0)} | values
    )
    data = make(items, augment=augment, batch_frames=10_000)
    for number in range(4):
        for batch in data.epoch(number):
            for name, row, length, labels, size in zip(
                batch.ids,
                batch.signals,
                batch.lengths.tolist(),
                batch.labels,
                batch.label_lengths,
                strict=True,
            ):
                yield name, row[:length].numpy(), tuple(labels[:size].tolist())


def words_of(labels):
    """Label ids split at the space."""
    words: list[tuple] = [()]
    for label in labels:
        words = [*words, ()] if label == SPACE[0] else [*words[:-1], (*words[-1], label)]
    return words


def test_joined_labels_and_samples_are_those_of_their_parts(tone_items):
    by_labels = {item.labels: item for item in tone_items}
    by_id = {item.utterance.id: item for item in tone_items}
    counts = set()

    for name, samples, labels in joins(tone_items):
        parts = [by_labels[word] for word in words_of(labels)]
        counts.add(len(parts))
        assert parts[0] is by_id[name]
        assert {part.utterance.speaker for part in parts} == {by_id[name].utterance.speaker}
        at = 0
        for part in parts:
            recorded, _ = soundfile.read(part.utterance.path, dtype="float32")
            assert np.array_equal(samples[at : at + len(recorded)], recorded)
            at += len(recorded) + 400  # a pause of 50 ms
        assert len(samples) == at - 400

    assert counts == {1, 2, 3}


def test_nothing_is_joined_beyond_the_longest_allowed(tone_items):
    longest = max(len(samples) for _, samples, _ in joins(tone_items, join_seconds=1.0))

    alone = max(round(item.amount * 8_000) for item in tone_items)
    assert alone < longest <= 8_000


def test_silence_joins_without_a_space(tone_items, make_utterance):
    silence = make_utterance("silence", np.zeros(800), text="", speaker="x")
    items = [item for item in tone_items if item.utterance.speaker == "x"]
    items.append(dataclasses.replace(items[0], utterance=silence, labels=(), amount=0.1))

    for _, _, labels in joins(items):
        assert labels[:1] != SPACE
        assert labels[-1:] != SPACE
        assert () not in words_of(labels) or not labels


# What goes wrong


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_recording_is_named_and_its_batch_goes_on(tone_items, workers):
    audio = spoil(tone_items[3])
    batches = make(tone_items, workers=workers).epoch(0)

    ids = sorted(name for batch in batches for name in batch.ids)

    assert ids == sorted(i.utterance.id for i in tone_items if i is not tone_items[3])
    (unreadable,) = batches.unreadable
    assert unreadable.id == tone_items[3].utterance.id
    assert str(audio) in unreadable.reason
    assert "\n" not in unreadable.reason


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_without_a_readable_recording_is_passed_over_but_counted(tone_items, workers):
    spoil(tone_items[3])
    batches = make(tone_items, workers=workers, batch_size=1).epoch(0)

    positions = []
    for batch in batches:
        assert len(batch.ids) == 1
        positions.append(batches.position)

    assert len(positions) == 7
    assert batches.position == batches.num_batches == 8
    assert len({*range(1, 9)}.difference(positions)) == 1
    assert positions == sorted(positions)
    assert [u.id for u in batches.unreadable] == [tone_items[3].utterance.id]


def test_of_joined_recordings_the_one_that_cannot_be_read_is_named(tone_items):
    augment = NO_AUGMENTATION.model_copy(update={"join_items": 4, "join_seconds": 9.0})
    spoil(tone_items[3])
    batches = make(tone_items, augment=augment).epoch(0)

    left = [name for batch in batches for name in batch.ids]

    assert {u.id for u in batches.unreadable} == {tone_items[3].utterance.id}
    assert len(batches.unreadable) == 8 - len(left) > 1


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("known", [(), ("1-dcb", "6-cc")])
def test_more_unreadable_recordings_than_allowed_end_the_epoch(tone_items, workers, known):
    for number in (1, 4, 6):
        spoil(tone_items[number])
    data = make(tone_items, workers=workers, batch_size=1, max_unreadable=2)
    batches = data.epoch(0, unreadable=known)

    with pytest.raises(LoadingError, match="while training ran: 3,") as caught:
        list(batches)

    last = caught.value.args[0].partition("the last: ")[2].partition(":")[0]
    named = [u.id for u in batches.unreadable]
    assert last not in named  # its batch is not taken
    assert {last, *named} | set(known) == {"1-dcb", "4-bd", "6-cc"}


@pytest.mark.parametrize("workers", [0, 2])
def test_whatever_fails_while_a_batch_is_made_is_said(tone_items, monkeypatch, workers):
    def fail(*_arguments, **_settings):
        raise ValueError("a library's own idea")

    monkeypatch.setattr("ctcasr.frontends.sound.recordings.distort_waveform", fail)
    batches = make(tone_items, workers=workers).epoch(0)

    with pytest.raises(LoadingError, match="could not be made: ValueError: a library's own idea"):
        next(iter(batches))

    assert batches.position == 0


def test_no_thread_is_left_when_an_epoch_is_abandoned(tone_items):
    before = threading.active_count()
    batches = iter(make(tone_items, workers=3, batch_size=1).epoch(0))
    next(batches)

    batches.close()

    assert threading.active_count() == before


@pytest.mark.parametrize(("cache_mb", "unreadable"), [(64, 0), (0, 8)])
def test_recordings_are_kept_in_memory_up_to_the_limit(tone_items, cache_mb, unreadable):
    data = make(tone_items, cache_mb=cache_mb)
    assert len([*data.epoch(0)]) > 0
    for item in tone_items:
        item.utterance.path.unlink()

    batches = data.epoch(1)

    assert sum(len(batch.ids) for batch in batches) == 8 - unreadable
    assert len(batches.unreadable) == unreadable


def test_waiting_for_data_is_counted(tone_items):
    batches = make(tone_items).epoch(0)

    assert batches.waited == 0
    assert len([*batches]) > 0
    assert batches.waited > 0


def test_no_utterance_is_played_too_fast_to_be_aligned(tone_items):
    augment = NO_AUGMENTATION.model_copy(update={"speed": (1.5, 2.0)})
    item = tone_items[0]
    frames = FRONTEND.num_frames(round(item.amount * FRONTEND.sample_rate))
    barely_fits = dataclasses.replace(item, labels=tuple(1 + index % 2 for index in range(frames)))

    batch = next(iter(make([barely_fits], augment=augment).epoch(0)))

    assert FRONTEND.num_frames(int(batch.lengths[0])) >= frames


def test_edges_are_cut_as_drawn_unless_the_labels_need_them(tone_items, make_utterance):
    augment = NO_AUGMENTATION.model_copy(update={"trim_probability": 1.0, "trim_db": (20.0, 20.0)})
    loud = 0.3 * np.sin(np.arange(2_000, dtype=np.float32))
    quiet = np.full(1_600, 0.001, dtype=np.float32)
    utterance = make_utterance("a", np.concatenate([quiet, loud, quiet]), sample_rate=8_000)
    item = dataclasses.replace(tone_items[0], utterance=utterance, labels=(2,), amount=0.65)
    needs_all = dataclasses.replace(item, labels=(2, 3) * 16)

    (cut,), (whole,) = (list(make([one], augment=augment).epoch(0)) for one in (item, needs_all))

    assert cut.signals[0].tolist() == pytest.approx(loud.tolist(), abs=1e-4)
    assert whole.lengths.tolist() == [5_200]
