"""Where torch computes: the device a user names, and whether its memory sufficed."""

import os

import torch

from ctcasr.errors import ConfigError


def pick_device(device: str) -> torch.device:
    """Return the device that a --device argument means.

    Of several processes that torchrun has started on a machine, each gets a GPU of its own.

    Raises:
        ConfigError: it is unknown or not there.
    """
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and 1 < processes <= torch.cuda.device_count():
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"--device {device}: unknown; give auto, cpu, cuda or cuda:N") from error
    if chosen.type not in ("cpu", "cuda"):
        raise ConfigError(f"--device {device}: unknown; give auto, cpu, cuda or cuda:N")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"--device {device}: there are {torch.cuda.device_count()} GPUs that torch can use; "
            f"give --device cpu"
        )
    if chosen.type == "cuda" and processes > 1:
        raise ConfigError(
            f"--device {device}: one GPU for each of {processes} processes is needed, and there "
            f"are {torch.cuda.device_count()}; start fewer, and give --device cuda"
        )
    return chosen


def compute_deterministically() -> None:
    """Have torch use kernels that give the same bits each time, and name those that have none.

    To be called before a GPU is first used: cuBLAS reads its setting then.

    Source: PyTorch's notes on reproducibility.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether torch or Python failed for want of memory, on any device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)
