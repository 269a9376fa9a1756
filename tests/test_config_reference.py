import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from ctcasr.config import RunConfig, describe_keys

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def writer():
    return SimpleNamespace(**runpy.run_path(str(DOCS / "write_configuration.py")))


def test_the_reference_is_what_the_classes_say(writer):
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert page == writer.render_reference(describe_keys()), (
        "write it anew: python docs/write_configuration.py"
    )


def test_every_key_is_described():
    for key, kind, default, meaning in describe_keys():
        assert meaning.endswith("."), key
        assert kind, key
        assert default, key


def test_every_key_can_be_read_back():
    dumped = RunConfig().model_dump(mode="json")
    for key, _, _, _ in describe_keys():
        values = dumped
        for part in key.split("."):
            values = values[part]
