import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.batching import pad_labels, pad_signals, plan_batches

lengths_of_sets = st.lists(st.integers(1, 500), max_size=60)


def generator(seed=0):
    return np.random.default_rng(seed)


def read_speech_lengths(count=900):
    """Frames of short read utterances: 1 to 7 s, 3 s on the average, as in AN4."""
    seconds = generator(1).gamma(shape=5, scale=0.6, size=count).clip(0.9, 7)
    return (seconds * 100).astype(int).tolist()


def padding_share(lengths, batches):
    padded = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)
    return 1 - sum(lengths) / padded


@given(lengths=lengths_of_sets, drawn=st.booleans(), max_items=st.none() | st.integers(1, 8))
def test_each_item_is_in_one_batch(lengths, drawn, max_items):
    batches = plan_batches(
        lengths, max_frames=900, max_items=max_items, generator=generator() if drawn else None
    )

    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(batches)


@given(lengths=lengths_of_sets, drawn=st.booleans(), max_items=st.none() | st.integers(1, 8))
def test_padded_batches_stay_under_the_budget(lengths, drawn, max_items):
    batches = plan_batches(
        lengths, max_frames=400, max_items=max_items, generator=generator() if drawn else None
    )

    for batch in batches:
        assert len(batch) * max(lengths[i] for i in batch) <= 400 or len(batch) == 1
        assert max_items is None or len(batch) <= max_items


@pytest.mark.parametrize("budget", [3_000, 6_000, 12_000])
def test_padding_of_read_speech_is_at_most_five_percent(budget):
    lengths = read_speech_lengths()

    for epoch in range(5):
        batches = plan_batches(lengths, max_frames=budget, generator=generator(epoch))
        assert padding_share(lengths, batches) <= 0.05


def test_batches_are_full():
    lengths = read_speech_lengths()

    batches = plan_batches(lengths, max_frames=6_000, generator=generator())

    assert len(batches) <= 1.1 * sum(lengths) / 6_000


def test_equal_generators_give_equal_batches():
    lengths = read_speech_lengths(200)

    def plan(seed):
        return plan_batches(lengths, max_frames=2_000, generator=generator(seed))

    assert plan(3) == plan(3)
    assert plan(3) != plan(4)
    assert {frozenset(batch) for batch in plan(3)} != {frozenset(batch) for batch in plan(4)}


def test_without_a_generator_the_longest_come_first():
    assert plan_batches([3, 9, 5, 9, 1], max_frames=18) == [[1, 3], [2, 0, 4]]


def test_waveforms_and_labels_are_padded_on_the_right():
    waveforms, lengths = pad_signals([np.ones(3, np.float32), np.ones(1, np.float32)])
    labels, label_lengths = pad_labels([(4, 2), (), (7,)])

    assert waveforms.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert lengths.tolist() == [3, 1]
    assert labels.tolist() == [[4, 2], [0, 0], [7, 0]]
    assert label_lengths.tolist() == [2, 0, 1]
    assert (waveforms.dtype, labels.dtype) == (torch.float32, torch.int64)


def test_nothing_is_padded_to_nothing():
    assert pad_signals([])[0].shape == (0, 0)
    assert pad_labels([(), ()])[0].shape == (2, 0)
