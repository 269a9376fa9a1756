import importlib
import subprocess
import sys

import pytest

import ctcasr


@pytest.mark.parametrize("name", ctcasr.__all__)
def test_every_public_name_resolves(name):
    assert getattr(ctcasr, name) is not None
    assert name in dir(ctcasr)


def test_public_names_are_those_of_their_modules():
    for name, home in ctcasr._HOMES.items():
        assert getattr(ctcasr, name) is getattr(importlib.import_module(home), name)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'ctcasr' has no attribute 'transcribe_all'"):
        getattr(ctcasr, "transcribe_" + "all")


def loaded_after(code):
    """Return the heavy modules that some code loads, in a process of its own."""
    heavy = "{'torch', 'torchaudio', 'librosa', 'numpy', 'pydantic', 'rich'}"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(sorted({heavy} & set(sys.modules)))"],
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    return done.stdout.splitlines()[-1]


def test_importing_ctcasr_loads_nothing_heavy():
    assert loaded_after("import ctcasr") == "[]"


def test_help_loads_nothing_heavy():
    commands = "['--help'], ['--version'], ['train', '--help'], ['transcribe', '-h']"
    code = f"from ctcasr.cli.app import main\nfor argv in {commands}: assert main(argv) == 0"
    assert loaded_after(code) == "[]"


def test_texts_are_scored_and_split_without_torch():
    code = "from ctcasr import Alphabet, CtcasrError, ErrorCounts, Utterance, read_manifest"
    assert "torch" not in loaded_after(code)


def test_star_import_brings_every_public_name():
    names: dict[str, object] = {}
    exec("from ctcasr import *", names)
    assert set(ctcasr.__all__) <= set(names)
