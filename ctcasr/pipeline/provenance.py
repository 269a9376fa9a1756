"""Where a result comes from: command, commit, versions, hashes."""

import hashlib
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

_LIBRARIES = ("ctcasr", "torch", "torchaudio", "numpy", "soundfile", "soxr", "jiwer")


def command_line() -> str:
    """Return this process's command as one would type it; folders above the program left out."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    if module is None:
        program = [Path(sys.argv[0]).name]
    else:
        processes = os.environ.get("LOCAL_WORLD_SIZE")
        starter = ["torchrun", "--nproc-per-node", processes] if processes else ["python"]
        program = [*starter, "-m", module.name.removesuffix(".__main__")]
    return shlex.join([*program, *sys.argv[1:]])


def versions() -> dict[str, str]:
    """Return the versions of Python, the system and the libraries that numbers depend on."""
    found = {"python": platform.python_version(), "system": platform.system()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def ctcasr_version() -> str:
    """Return "ctcasr VERSION"."""
    return f"ctcasr {versions()['ctcasr']}"


def commit() -> str | None:
    """Return the commit of the checkout ctcasr runs from, "+changed" where it differs from it.

    None where it runs from an installed package or there is no git.
    """
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        head = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+changed" if changed else "")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, check=True, encoding="utf-8"
    )
    return done.stdout.strip()
