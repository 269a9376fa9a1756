import dataclasses

import numpy as np
import pytest
import torch

from ctcasr.frontends.feature_stats import FeatureStats, Normalisation
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.frontends.sound.augmentation import AugmentConfig, batch_distortions, draw_distortion
from ctcasr.frontends.sound.spectral import FrontendConfig
from ctcasr.models.encoder import EncoderConfig
from ctcasr.models.network import Network
from tests.test_spectral import clip, pad

FRONTEND = FrontendConfig(sample_rate=8_000, num_mels=20)
STATS = FeatureStats(torch.full((20,), -6.0), torch.full((20,), 2.0))


def make(normalise: Normalisation) -> FeatureExtractor:
    config = FRONTEND.model_copy(update={"normalise": normalise})
    return FeatureExtractor(config, STATS if normalise is Normalisation.TRAINING else None)


def distort(*clips):
    """What strong augmentation does to the features of a batch, keyed by place."""
    config = AugmentConfig(response_db=6, warp=(0.8, 0.9))
    drawn = [draw_distortion(config, seed=1, epoch=0, item=str(i)) for i in range(len(clips))]
    frames = [FRONTEND.num_frames(len(samples)) for samples in clips]
    return batch_distortions(config, drawn, frames, num_features=20, hop_ms=10)


@pytest.mark.parametrize("normalise", Normalisation)
@pytest.mark.parametrize("distorted", [False, True])
def test_a_quiet_clip_beside_a_long_loud_one_is_as_alone(normalise, distorted):
    extract = make(normalise)
    quiet, loud = clip(3_000, gain=1e-3), clip(12_000, seed=1, gain=0.9)

    alone, _ = extract(*pad(quiet), distort(quiet) if distorted else None)
    together, lengths = extract(*pad(quiet, loud), distort(quiet, loud) if distorted else None)

    assert lengths.tolist() == [38, 150]
    torch.testing.assert_close(together[:1, :38], alone, rtol=0, atol=1e-4)
    assert not together[0, 38:].any()


def test_the_networks_output_for_a_quiet_clip_is_as_alone():
    torch.manual_seed(0)
    extract = make(Normalisation.UTTERANCE)
    encoder = EncoderConfig(layers=2, hidden=8)
    network = Network(encoder, num_features=20, num_labels=5).eval()
    quiet, loud = clip(3_000, gain=1e-3), clip(12_000, seed=1, gain=0.9)

    alone, _ = network(*extract(*pad(quiet)))
    together, lengths = network(*extract(*pad(quiet, loud)))

    torch.testing.assert_close(together[:1, : lengths[0]], alone, rtol=0, atol=1e-5)


def test_normalised_features_do_not_know_the_gain():
    extract = make(Normalisation.UTTERANCE)
    samples = clip(4_000, gain=0.5)

    loud, _ = extract(*pad(samples))
    quiet, _ = extract(*pad(samples * np.float32(0.1)))

    torch.testing.assert_close(loud, quiet, rtol=0, atol=1e-3)


def test_masked_features_are_zero_after_normalisation():
    samples = clip(8_000)
    neutral = distort(samples)
    masks = torch.tensor([[[10, 20]]]), torch.tensor([[[5, 8]]])
    masked = dataclasses.replace(neutral, time_masks=masks[0], freq_masks=masks[1])

    features, _ = make(Normalisation.UTTERANCE)(*pad(samples), masked)

    hidden = features == 0
    assert hidden[0, 10:20].all()
    assert hidden[0, :, 5:8].all()
    assert hidden.sum() == 10 * 20 + 90 * 3


def test_statistics_come_with_the_normalisation_that_uses_them():
    with pytest.raises(ValueError, match="if, and only if"):
        FeatureExtractor(FRONTEND, STATS)
    with pytest.raises(ValueError, match="if, and only if"):
        FeatureExtractor(FRONTEND.model_copy(update={"normalise": Normalisation.TRAINING}))
