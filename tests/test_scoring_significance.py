import numpy as np
import pytest

from ctcasr.scoring import bootstrap_interval
from ctcasr.scoring.significance import draw_sums, groups_to_resample


def simulated(*, num_speakers, seed, per_speaker=10, rate=0.2):
    """Utterances of 20 words, each with errors at its speaker's own rate."""
    draw = np.random.default_rng(seed)
    rates = draw.beta(4 * rate, 4 * (1 - rate), size=num_speakers).repeat(per_speaker)
    speakers = [f"s{i}" for i in range(num_speakers) for _ in range(per_speaker)]
    return draw.binomial(20, rates), np.full(len(rates), 20), speakers


def interval_of(*args, **kwargs):
    interval = bootstrap_interval(*args, **kwargs)
    assert interval is not None
    return interval


def test_the_interval_covers_the_true_rate_about_as_often_as_it_says():
    covered = 0
    for seed in range(100):
        errors, lengths, speakers = simulated(num_speakers=30, seed=seed)
        low, high = interval_of(errors, lengths, speakers, resamples=200, seed=seed)
        covered += low <= 0.2 <= high

    assert 85 <= covered <= 99


def test_drawing_speakers_widens_the_interval_where_speakers_differ():
    errors, lengths, speakers = simulated(num_speakers=30, seed=0)
    utterances = [str(index) for index in range(len(errors))]

    by_speaker = interval_of(errors, lengths, speakers)
    by_utterance = interval_of(errors, lengths, utterances)

    assert by_speaker[1] - by_speaker[0] > 1.5 * (by_utterance[1] - by_utterance[0])


def test_the_order_of_items_does_not_matter_but_the_seed_does():
    errors, lengths, speakers = simulated(num_speakers=8, seed=0)
    order = np.random.default_rng(1).permutation(len(errors))
    shuffled = [speakers[index] for index in order]

    interval = bootstrap_interval(errors, lengths, speakers, seed=3)

    assert bootstrap_interval(errors[order], lengths[order], shuffled, seed=3) == interval
    assert bootstrap_interval(errors, lengths, speakers, seed=4) != interval


def test_equal_rates_leave_no_doubt():
    assert bootstrap_interval([1, 2, 3], [10, 20, 30], "abc") == pytest.approx((0.1, 0.1))


def test_an_interval_is_not_clipped_at_one():
    low, high = interval_of([3, 6], [1, 2], "ab")

    assert (low, high) == (3.0, 3.0)


@pytest.mark.parametrize(
    ("errors", "lengths", "groups"),
    [([], [], []), ([1, 2], [3, 4], ["a", "a"]), ([1, 2], [0, 0], ["a", "b"])],
)
def test_too_little_gives_no_interval(errors, lengths, groups):
    assert bootstrap_interval(errors, lengths, groups) is None


def test_draws_of_silence_only_are_left_out():
    assert bootstrap_interval([1, 0], [10, 0], ["a", "b"]) == pytest.approx((0.1, 0.1))


def test_speakers_are_drawn_only_where_each_item_has_one_and_they_differ():
    ids = ["u1", "u2", "u3"]

    assert groups_to_resample(ids, ["a", "a", "b"]) == (["a", "a", "b"], "speaker")
    assert groups_to_resample(ids, ["a", None, "b"]) == (ids, "utterance")
    assert groups_to_resample(ids, ["a", "a", "a"]) == (ids, "utterance")


def one_draw_at_a_time(by_group, *, resamples, seed):
    draw = np.random.default_rng(seed)
    groups = len(by_group)
    return [by_group[draw.integers(groups, size=groups)].sum(axis=0) for _ in range(resamples)]


@pytest.mark.parametrize("num_groups", [1, 7, 3_000])
def test_many_draws_at_once_are_those_of_one_at_a_time(num_groups):
    by_group = np.random.default_rng(0).integers(0, 9, size=(num_groups, 3)).astype(float)

    sums = draw_sums(by_group, resamples=200, seed=5)

    assert (sums == one_draw_at_a_time(by_group, resamples=200, seed=5)).all()
