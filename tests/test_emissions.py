import numpy as np
import pytest

from ctcasr.pipeline.emissions import EmissionStore


@pytest.mark.parametrize("limit", [0, 500, 2**20])
def test_what_goes_in_comes_out_again_and_again(limit):
    random = np.random.default_rng(1)
    given = [random.normal(size=(k % 7, 5)).astype(np.float32) for k in range(150)]

    with EmissionStore(limit=limit) as store:
        for matrix in given:
            store.append(matrix)
        assert len(store) == 150
        for _ in range(2):
            batches = list(store.batches())
            assert len(batches) > 1
            for kept, matrix in zip([m for batch in batches for m in batch], given, strict=True):
                assert kept.dtype == np.float32
                np.testing.assert_array_equal(kept, matrix)


def test_what_is_kept_does_not_change_with_its_source():
    matrix = np.zeros((2, 2), np.float32)
    with EmissionStore() as store:
        store.append(matrix)
        matrix += 1
        assert next(store.batches())[0].sum() == 0
