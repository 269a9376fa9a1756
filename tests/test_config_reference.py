import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from ctcasr.config import ImageConfig, InkConfig, SpeechConfig, describe_keys
from ctcasr.training.language_model import LmConfig

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def writer():
    return SimpleNamespace(**runpy.run_path(str(DOCS / "write_configuration.py")))


def test_the_reference_is_what_the_classes_say(writer):
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert page == writer.render_reference(), "write it anew: python docs/write_configuration.py"


@pytest.mark.parametrize("section", [SpeechConfig, InkConfig, ImageConfig, LmConfig])
def test_every_key_is_described(section):
    for key, kind, default, meaning in describe_keys(section):
        assert meaning.endswith("."), key
        assert kind, key
        assert default, key


@pytest.mark.parametrize("section", [SpeechConfig, InkConfig, ImageConfig, LmConfig])
def test_every_key_can_be_read_back(section):
    dumped = section().model_dump(mode="json")
    for key, _, _, _ in describe_keys(section):
        values = dumped
        for part in key.split("."):
            values = values[part]
