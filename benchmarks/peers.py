"""Peers in an environment of their own, and each contestant in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def prepare_peers(folder: Path, *, requirements: Path, modules: Sequence[str]) -> None:
    """Make the peers' environment where there is none, and see that all of them load.

    Args:
        folder: of the environment.
        requirements: file of what pip installs in it.
        modules: what must be importable there.
    """
    if not python_of(folder).exists():
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python_of(folder)), "-m", "pip", "install", "--quiet", "-r", str(requirements)],
        ):
            if subprocess.run(command, stdout=sys.stderr).returncode:
                raise SystemExit(f"{' '.join(command)} failed; delete {folder} to try again")
    for module in modules:
        done = subprocess.run(
            [python_of(folder), "-c", f"import {module}"], capture_output=True, encoding="utf-8"
        )
        if done.returncode:
            raise SystemExit(
                f"peer {module} cannot be imported in {folder}: {_last_line(done)}; "
                f"delete {folder} to have it made again"
            )


def python_of(environment: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    windows = sys.platform == "win32"
    return environment / ("Scripts/python.exe" if windows else "bin/python")


def run_worker(python: Path, worker: Path, job: Any, *, name: str, threads: int) -> Any:
    """Give a script a job as JSON on its standard input; return the JSON that it prints.

    Args:
        python: interpreter of the environment to run in.
        worker: the script.
        job: what to do.
        name: of the contestant, for the message if it fails.
        threads: for NumPy and torch.
    """
    count = str(threads)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "PYTHONIOENCODING": "utf-8",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    done = subprocess.run(
        [python, worker],
        input=json.dumps(job),
        capture_output=True,
        encoding="utf-8",
        env=environment,
    )
    if done.returncode:
        raise SystemExit(f"{worker.stem}: {name} failed: {_last_line(done)}")
    return json.loads(done.stdout)


def _last_line(done: "subprocess.CompletedProcess[str]") -> str:
    """Return what a failed process said last."""
    return (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
