"""The small data sets that ship with the package are what their README says."""

from pathlib import Path

import pytest

from ctcasr.manifest import Modality, import_manifest
from tests.ink_letters import INK_TEXTS

EXAMPLES = Path(__file__).parents[1] / "ctcasr" / "examples"


@pytest.mark.parametrize(("folder", "modality"), [("ink", Modality.INK), ("lines", Modality.IMAGE)])
def test_eight_lines_with_their_texts(folder, modality):
    imported = import_manifest(EXAMPLES / folder)

    assert [item.text for item in imported.utterances] == INK_TEXTS
    assert {item.modality for item in imported.utterances} == {modality}
    assert imported.left_out == ()


def test_the_ink_can_be_checked_with_the_packaged_configuration(ctcasr, tmp_path):
    assert ctcasr("manifest", EXAMPLES / "ink", "-o", tmp_path / "ink.jsonl").status == 0

    ended = ctcasr("check", tmp_path / "ink.jsonl", "-c", "ink")

    assert ended.status == 0
    assert "8 utterances" in ended.out
