"""Where torch computes: the device a user names, and how much memory it has."""

import os
import sys
from contextlib import suppress
from pathlib import Path

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


def free_bytes(device: torch.device) -> int | None:
    """Return how much memory is free; of a system that does not tell, all that it has, or None.

    On Linux a container's limit counts too.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free) + unused
    found = []
    with suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        found.append(1024 * int(available.split()[1]))
    with suppress(OSError, ValueError):  # "max" where there is no limit
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        found.append(limit - int((group / "memory.current").read_text(encoding="ascii")))
    if not found and hasattr(os, "sysconf"):
        with suppress(OSError, ValueError):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def forget_peak(device: torch.device) -> None:
    """Have `peak_bytes` count from here on; from the process's beginning where that cannot be."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5), since Linux 4.0


def peak_bytes(device: torch.device) -> int | None:
    """Return the most memory that this process held; None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return None
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
