import numpy as np
import pytest
import torch

from ctcasr.decoder import Emissions
from ctcasr.pipeline.emissions import EmissionStore


@pytest.mark.parametrize("with_frames", [False, True])
@pytest.mark.parametrize("limit", [0, 500, 2**20])
def test_what_goes_in_comes_out_again_and_again(limit, with_frames):
    random = np.random.default_rng(1)
    given = [random.normal(size=(k % 7, 5)).astype(np.float32) for k in range(150)]
    encoded = [torch.full((k % 7, 3), float(k)) for k in range(150)] if with_frames else []

    with EmissionStore(limit=limit) as store:
        for first in range(0, 150, 50):
            store.append(Emissions(given[first : first + 50], encoded[first : first + 50]))
        assert len(store) == 150
        for _ in range(2):
            batches = list(store.batches())
            assert len(batches) > 1
            matrices = [matrix for batch in batches for matrix in batch.log_probs]
            for kept, matrix in zip(matrices, given, strict=True):
                assert kept.dtype == np.float32
                np.testing.assert_array_equal(kept, matrix)
            frames = [one for batch in batches for one in batch.encoded]
            assert all(map(torch.equal, frames, encoded))
            assert len(frames) == len(encoded)
            assert all(len(b.encoded) in (0, len(b.log_probs)) for b in batches)


def test_what_is_kept_does_not_change_with_its_source():
    matrix, frames = np.zeros((2, 2), np.float32), torch.zeros(2, 3)
    with EmissionStore() as store:
        store.append(Emissions([matrix], [frames]))
        matrix += 1
        frames += 1
        kept = next(store.batches())
        assert kept.log_probs[0].sum() == 0
        assert kept.encoded[0].sum() == 0
