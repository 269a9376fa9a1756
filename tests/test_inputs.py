import json
from pathlib import Path, PurePath

import pytest

from ctcasr.errors import ManifestError
from ctcasr.pipeline.inputs import audio_suffixes, find_inputs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a folder with recordings (empty files: nothing is read here) and other things."""
    for name in ("b.wav", "a.FLAC", "notes.txt", "day one/x y.wav", "day two/x y.wav", "z.m4a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ids(*arguments):
    return [item.utterance.id for item in find_inputs(arguments)]


def stems(*arguments):
    return [item.output_stem.as_posix() for item in find_inputs(arguments)]


def test_files_keep_their_order_and_are_called_by_their_name(folder):
    assert ids("b.wav", "a.FLAC") == ["b", "a"]
    assert stems("day two/x y.wav") == ["x y"]


def test_a_file_that_is_not_there_is_an_item_all_the_same(folder):
    (item,) = find_inputs(["nothing.wav"])
    assert item.utterance.path == Path("nothing.wav")


def test_a_folder_means_the_recordings_below_it_sorted(folder):
    assert ids(".") == ["a", "b", "day_one/x_y", "day_two/x_y", "z"]
    assert stems(str(folder)) == ["a", "b", "day one/x y", "day two/x y", "z"]


def test_recordings_that_cannot_be_decoded_are_not_passed_over(folder):
    assert ".m4a" in audio_suffixes()
    assert ".txt" not in audio_suffixes()


def test_a_glob_mirrors_what_lies_below_its_fixed_part(folder):
    assert ids("day */*.wav") == ["day_one/x_y", "day_two/x_y"]
    assert stems("day */*.wav") == ["day one/x y", "day two/x y"]
    assert stems(str(folder / "**" / "x*.wav")) == ["day one/x y", "day two/x y"]
    assert stems("day*") == ["day one/x y", "day two/x y"]


def test_a_file_may_be_called_like_a_glob(folder):
    (folder / "take[1].wav").touch()

    assert ids("take[1].wav") == ["take[1]"]


def test_two_recordings_of_one_name_are_told_apart_by_their_paths(folder):
    assert ids("day one/x y.wav", "b.wav", "day two/x y.wav") == ["day_one/x_y", "b", "day_two/x_y"]


def test_a_manifest_gives_its_items(folder):
    lines = [{"id": "p/1", "audio": "b.wav", "offset": 1.5}, {"id": "../../q", "audio": "a.FLAC"}]
    Path("m.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")

    first, second = find_inputs(["m.jsonl"])

    assert (first.utterance.id, first.utterance.offset) == ("p/1", 1.5)
    assert first.output_stem == PurePath("p/1")
    assert second.utterance.id == "../../q"
    assert second.output_stem == PurePath("q")  # an id never leads out of the output folder


def test_standard_input_is_an_item(folder):
    (item,) = find_inputs(["-"])
    assert (item.utterance.id, item.is_standard_input) == ("stdin", True)


def test_a_folder_without_recordings_is_refused(folder):
    (folder / "empty").mkdir()
    with pytest.raises(ManifestError, match=r"empty: no recordings in this folder \(looked for .*"):
        find_inputs(["empty"])


def test_a_glob_without_a_match_is_refused(folder):
    with pytest.raises(ManifestError) as caught:
        find_inputs(["*.mp3"])
    assert str(caught.value) == "*.mp3: matches no file; check the pattern and the folder"
