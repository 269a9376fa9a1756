"""NIST's scoring toolkit, where it is installed: what sclite and sc_stats make of texts.

Debian's package sctk keeps both out of PATH.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

Pair = tuple[str | None, str | None]

SCLITE = shutil.which("sclite") or shutil.which("sclite", path="/usr/lib/sctk/bin")
SC_STATS = shutil.which("sc_stats") or shutil.which("sc_stats", path="/usr/lib/sctk/bin")

needs_sctk = pytest.mark.skipif(
    SCLITE is None or SC_STATS is None, reason="NIST's sctk is not installed"
)

_TOKENS = re.compile(r'([CSDI]),(?:"([^"]*)")?,(?:"([^"]*)")?')


def sclite_alignments(
    items: Sequence[tuple[Sequence[str], Sequence[str]]], folder: Path
) -> list[list[Pair]]:
    """Return sclite's alignment of each (reference, hypothesis); tokens hold no marks."""
    _write_trn(folder / "ref.trn", [reference for reference, _ in items])
    marked = _sclite(folder, "hyp", [hypothesis for _, hypothesis in items])
    aligned: list[list[Pair]] = [[] for _ in items]
    for name, line in re.findall(r'<PATH id="\(s_(\d+)\)"[^>]*>\n(.*)\n</PATH>', marked):
        aligned[int(name)] = [
            (said or None, heard or None) for _, said, heard in _TOKENS.findall(line)
        ]
    return aligned


def sc_stats_of(
    references: Sequence[Sequence[str]],
    systems: Sequence[Sequence[Sequence[str]]],
    folder: Path,
    *options: str,
) -> str:
    """Return what sc_stats prints about systems named sys0, sys1, ..."""
    _write_trn(folder / "ref.trn", references)
    # Debian's sclite -p writes what its sc_stats cannot read; the files it writes are read.
    marked = [_sclite(folder, f"sys{at}", outputs) for at, outputs in enumerate(systems)]
    command = [str(SC_STATS), "-p", *options, "-n", "-"]
    return subprocess.run(
        command, input="".join(marked), capture_output=True, check=True, text=True, cwd=folder
    ).stdout


def _write_trn(path: Path, texts: Sequence[Sequence[str]]) -> None:
    lines = (f"{' '.join(tokens)} (s_{at})\n" for at, tokens in enumerate(texts))
    path.write_text("".join(lines), encoding="utf-8")


def _sclite(folder: Path, name: str, outputs: Sequence[Sequence[str]]) -> str:
    _write_trn(folder / name, outputs)
    command = [str(SCLITE), "-r", "ref.trn", "trn", "-h", name, "trn", name, "-i", "spu_id"]
    subprocess.run(
        [*command, "-s", "-o", "sgml", "-O", "."], capture_output=True, check=True, cwd=folder
    )
    return (folder / f"{name}.sgml").read_text(encoding="utf-8")
