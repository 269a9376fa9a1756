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
    _write_trn(folder / "hyp.trn", [hypothesis for _, hypothesis in items])
    _sclite(folder, ["hyp.trn"], "-o", "sgml", "-O", str(folder))
    marked = (folder / "hyp.trn.sgml").read_text(encoding="utf-8")
    aligned: list[list[Pair]] = [[] for _ in items]
    for name, line in re.findall(r'<PATH id="\(s_(\d+)\)"[^>]*>\n(.*)\n</PATH>', marked):
        aligned[int(name)] = [(said or None, heard or None) for _, said, heard in _tokens(line)]
    return aligned


def sc_stats_of(
    references: Sequence[Sequence[str]],
    systems: Sequence[Sequence[Sequence[str]]],
    test: str,
    folder: Path,
) -> str:
    """Return what `sc_stats -t TEST -v` prints about systems named sys0, sys1, ..."""
    _write_trn(folder / "ref.trn", references)
    names = [f"sys{at}" for at in range(len(systems))]
    for name, outputs in zip(names, systems, strict=True):
        _write_trn(folder / name, outputs)
    piped = _sclite(folder, names, "-p")
    return subprocess.run(
        [str(SC_STATS), "-p", "-t", test, "-v", "-n", "-"],
        input=piped,
        capture_output=True,
        check=True,
        cwd=folder,
    ).stdout.decode()


def _write_trn(path: Path, texts: Sequence[Sequence[str]]) -> None:
    lines = (f"{' '.join(tokens)} (s_{at})\n" for at, tokens in enumerate(texts))
    path.write_text("".join(lines), encoding="utf-8")


def _sclite(folder: Path, names: Sequence[str], *options: str) -> bytes:
    hypotheses = [word for name in names for word in ("-h", name, "trn", name)]
    command = [str(SCLITE), "-r", "ref.trn", "trn", *hypotheses, "-i", "spu_id", "-s"]
    return subprocess.run(
        [*command, "-e", "utf-8", *options], capture_output=True, check=True, cwd=folder
    ).stdout


def _tokens(line: str) -> list[tuple[str, str, str]]:
    return _TOKENS.findall(line)
