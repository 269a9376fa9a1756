import numpy as np
import pytest
import torch

from ctcasr.frontends.feature_stats import measure_feature_stats, normalise_per_utterance

LENGTHS = torch.tensor([30, 4, 11])


@pytest.fixture
def features():
    torch.manual_seed(0)
    features = torch.randn(3, 30, 5) * torch.tensor([0.5, 1, 2, 3, 4]) + 7
    return features * (torch.arange(30) < LENGTHS[:, None])[..., None]


def valid(features):
    return [row[:length].double().numpy() for row, length in zip(features, LENGTHS, strict=True)]


def test_training_statistics_are_numpys_over_all_frames(features):
    frames = np.concatenate(valid(features))

    stats = measure_feature_stats([(features[:2], LENGTHS[:2]), (features[2:], LENGTHS[2:])])

    np.testing.assert_allclose(stats.mean.numpy(), frames.mean(0), rtol=1e-6)
    np.testing.assert_allclose(stats.deviation.numpy(), frames.std(0), rtol=1e-6)


def test_training_set_normalised_by_itself_has_mean_zero_and_variance_one(features):
    stats = measure_feature_stats([(features, LENGTHS)])

    normalised = stats.normalise(features, LENGTHS)

    frames = np.concatenate(valid(normalised))
    np.testing.assert_allclose(frames.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(frames.std(0), 1, atol=1e-6)
    assert not normalised[1, 4:].any()


def test_each_utterance_normalised_alone_has_mean_zero_and_variance_one(features):
    normalised = normalise_per_utterance(features, LENGTHS)

    for frames in valid(normalised):
        np.testing.assert_allclose(frames.mean(0), 0, atol=1e-6)
        np.testing.assert_allclose(frames.std(0), 1, atol=1e-6)
    assert not normalised[1, 4:].any()


def test_normalised_utterance_does_not_depend_on_batch_neighbours(features):
    together = normalise_per_utterance(features, LENGTHS)
    alone = normalise_per_utterance(features[1:2, :4], LENGTHS[1:2])

    torch.testing.assert_close(together[1:2, :4], alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("length", [0, 1, 9])
def test_constant_or_missing_frames_become_zero_not_infinite(length):
    features = torch.full((1, 9, 2), 3.0) * (torch.arange(9) < length)[:, None]

    assert not normalise_per_utterance(features, torch.tensor([length])).any()


def test_a_coefficient_that_never_moves_is_not_blown_up():
    stats = measure_feature_stats([(torch.full((1, 9, 2), 3.0), torch.tensor([9]))])

    assert stats.deviation.tolist() == pytest.approx([1e-3, 1e-3])


def test_statistics_of_nothing_are_refused():
    with pytest.raises(ValueError, match="no frames"):
        measure_feature_stats([])
