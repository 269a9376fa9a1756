import os

import pytest
import torch

from ctcasr.device import compute_deterministically, is_out_of_memory, pick_device
from ctcasr.errors import ConfigError


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "meta", ""])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(ConfigError, match="unknown; give auto, cpu, cuda or cuda:N"):
        pick_device(device)


def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"--device cuda:99: there are \d+ GPUs that torch can"):
        pick_device("cuda:99")


def test_what_is_out_of_memory_and_what_is_not():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("size mismatch"))


def test_deterministic_computing_is_asked_of_torch_and_of_cublas(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    try:
        compute_deterministically()
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)
