import pytest
import torch

from ctcasr.device import is_out_of_memory, pick_device
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
