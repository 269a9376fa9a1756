"""Kaldi data directories, NeMo manifests, folders with texts, and telling the formats apart."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ctcasr.errors import ManifestError
from ctcasr.manifest import SourceFormat, import_manifest, read_manifest, write_manifest


def make_wavs(folder: Path, *names: str, channels: int = 1) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros((160, channels), np.float32), 16_000)


def make_files(folder: Path, **contents: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name.replace("__", ".")).write_text(content, encoding="utf-8", newline="")
    return folder


# --- Kaldi --------------------------------------------------------------------------------------


def test_kaldi_directory_with_recordings_as_utterances(tmp_path):
    make_wavs(tmp_path / "corpus", "a 1.wav", "b.wav", "c.wav")
    folder = make_files(
        tmp_path / "data" / "train",
        wav__scp=f"u-a corpus/a 1.wav\nu-b\t{tmp_path / 'corpus' / 'b.wav'}\r\nu-c corpus/c.wav\n"
        "u-d corpus/d.wav\n",
        text="u-a HELLO  WORLD\nu-b\nu-x NOTHING\n",
        utt2spk="u-a anna\nu-b ben\n",
        spk2gender="anna f\n",
    )

    imported = import_manifest(folder)

    assert [(u.id, u.path.name, u.text, u.speaker, u.extra) for u in imported.utterances] == [
        ("u-a", "a 1.wav", "HELLO  WORLD", "anna", {"gender": "f"}),
        ("u-b", "b.wav", "", "ben", {}),
        ("u-c", "c.wav", None, None, {}),
    ]
    assert [item for item, _ in imported.left_out] == ["u-d", "u-x"]
    assert "recording 'corpus/d.wav' not found" in imported.left_out[0][1]


def test_kaldi_segments_and_channels(tmp_path):
    make_wavs(tmp_path, "stereo.wav", channels=2)
    make_wavs(tmp_path, "side-b.wav")
    folder = make_files(
        tmp_path / "data",
        wav__scp="call-A stereo.wav\ncall-B stereo.wav\ncut-B side-b.wav\n",
        segments="u1 call-A 0.25 1.5\nu2 call-B 2 -1\nu3 cut-B 0 1\nu4 call-C 0 1\n"
        "u5 call-A 3 2\nu6 call-A 1\n",
        reco2file_and_channel="call-A call A\ncall-B call B\ncut-B cut B\n",
        text="u1 x\nu2 y\nu3 z\n",
    )

    imported = import_manifest(folder)

    assert [(u.id, u.offset, u.duration, u.channel) for u in imported.utterances] == [
        ("u1", 0.25, 1.25, 0),
        ("u2", 2.0, None, 1),
        ("u3", 0.0, 1.0, None),
    ]
    assert imported.left_out == (
        ("u4", "wav.scp has no recording 'call-C'"),
        ("u5", "lasts -1 s; an item needs a duration above 0"),
        ("u6", "segment '1'; it must be recording, start and end in seconds"),
    )


@pytest.mark.parametrize("command", ["touch {} |", "| touch {}", "sox a.wav -t wav - | touch {}|"])
def test_a_kaldi_command_is_refused_and_never_run(tmp_path, command):
    trap = tmp_path / "trap"
    folder = make_files(tmp_path / "data", wav__scp=f"u1 {command.format(trap)}\n", text="u1 x\n")

    with pytest.raises(ManifestError, match=r"'u1' is a command .* never run; convert the"):
        import_manifest(folder)

    assert not trap.exists()


def test_kaldi_archives_and_repeated_keys_are_refused(tmp_path):
    archive = make_files(tmp_path / "a", wav__scp="u1 raw/wav.ark:1234\n")
    twice = make_files(tmp_path / "b", wav__scp="u1 a.wav\nu1 b.wav\n")

    with pytest.raises(ManifestError, match=r"'u1' lies in a Kaldi archive .*wav-copy"):
        import_manifest(archive)
    with pytest.raises(ManifestError, match="line 2: 'u1' is given twice"):
        import_manifest(twice)


# --- NeMo and ctcasr's own ----------------------------------------------------------------------


def test_nemo_lines_keep_every_field_and_lose_no_line_silently(tmp_path):
    make_wavs(tmp_path, "wav/a.wav")
    lines = [
        {"audio_filepath": "wav/a.wav", "duration": 0.01, "text": "hi", "lang": "en"},
        {"audio_filepath": str(tmp_path / "gone.wav"), "duration": 1, "text": "no"},
    ]
    source = tmp_path / "manifest.json"
    source.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")

    imported = import_manifest(source)

    (utterance,) = imported.utterances
    assert (utterance.id, utterance.text, utterance.duration, utterance.extra) == (
        "wav/a", "hi", 0.01, {"lang": "en"},
    )  # fmt: skip
    gone = str(tmp_path / "gone.wav")
    assert imported.left_out == (("gone", f"recording {gone!r} not found"),)


def test_a_folder_of_recordings_with_its_manifest_is_not_taken_as_unlabelled(tmp_path):
    make_wavs(tmp_path, "audio/a.wav")
    make_files(tmp_path, manifest__jsonl='{"audio": "audio/a.wav", "text": "hi"}\n')

    assert [u.text for u in import_manifest(tmp_path).utterances] == ["hi"]
    make_files(tmp_path, more__jsonl="")
    with pytest.raises(ManifestError, match=r"found manifest\.jsonl, more\.jsonl; name the file"):
        import_manifest(tmp_path)


def test_an_import_can_be_written_read_and_imported_again(tmp_path):
    make_wavs(tmp_path / "rec", "anna/a.wav", "ben/b.wav")
    make_files(tmp_path / "rec" / "anna", a__txt="hello")
    utterances = list(import_manifest(tmp_path / "rec").utterances)
    path = tmp_path / "lists" / "all.jsonl.gz"

    write_manifest(path, utterances)

    assert read_manifest(path) == utterances
    assert list(import_manifest(path).utterances) == utterances


# --- folders ------------------------------------------------------------------------------------


def test_texts_beside_recordings_and_folders_named_after_speakers(tmp_path):
    make_wavs(tmp_path, "anna/a 1.wav", "anna/e\u0301.flac", "ben/c.WAV", "ben/d.wav")
    make_files(tmp_path / "anna", **{"a 1__txt": "\ufeffHello,\r\n", "\u00e9__txt": "zwei"})
    make_files(tmp_path / "ben", c__txt="", notes__txt="about it", _hidden="", d__wav__bak="")
    make_files(tmp_path / "ben", **{".__c__txt": "AppleDouble"})

    imported = import_manifest(tmp_path)

    assert [(u.id, u.text, u.speaker) for u in imported.utterances] == [
        ("anna/a_1", "Hello,", "anna"),
        ("anna/\u00e9", "zwei", "anna"),
        ("ben/c", "", "ben"),
        ("ben/d", None, "ben"),
    ]
    assert imported.unlabelled == 1
    assert imported.notes == ("1 of 4 recordings have no .txt and are unlabelled",)
    notes = str(Path("ben", "notes.txt"))
    assert imported.left_out == ((notes, "no recording of the same name beside it"),)


@pytest.mark.parametrize(
    "names", [("a.wav", "b.wav"), ("x/a.wav",), ("x/a.wav", "b.wav"), ("x/y/a.wav", "z/b.wav")]
)
def test_folders_that_are_not_one_level_of_several_name_no_speaker(tmp_path, names):
    make_wavs(tmp_path, *names)

    assert {u.speaker for u in import_manifest(tmp_path).utterances} == {None}


def test_one_recording_in_two_formats_is_taken_once_and_named(tmp_path):
    make_wavs(tmp_path, "a.wav", "a.flac")
    make_files(tmp_path, a__txt="x")

    imported = import_manifest(tmp_path)

    assert [u.path.name for u in imported.utterances] == ["a.flac"]
    assert imported.left_out == (("a.wav", "has the same id 'a' as a.flac"),)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_folder_linked_into_itself_ends(tmp_path):
    make_wavs(tmp_path / "in", "a.wav")
    (tmp_path / "in" / "loop").symlink_to(tmp_path, target_is_directory=True)

    assert [u.id for u in import_manifest(tmp_path).utterances] == ["in/a"]


# --- telling formats apart ----------------------------------------------------------------------


def test_sources_that_cannot_be_told_say_what_to_do(tmp_path):
    make_wavs(tmp_path / "rec", "a.wav")
    odd = make_files(tmp_path / "odd", a__docx="")
    every = ", ".join(SourceFormat)

    for source, form, found in [
        (tmp_path / "gone", None, "no such file or folder"),
        (odd, None, f"of no format we recognise; name it with --from: {every}"),
        (odd / "a.docx", None, "of no format we recognise"),
        (tmp_path / "rec" / "a.wav", None, "a recording; name the folder"),
        (odd, "kalid", f"--from kalid: no such format; choose from {every}"),
        (odd, "kaldi", "wav.scp: cannot be read"),
        (odd / "a.docx", "kaldi", "a file, but kaldi is the format of a folder"),
        (odd, "nemo", "needs one manifest to import, found none; name the file"),
        (odd, "ljspeech", "not a file, but ljspeech is the format of one"),
        (odd, "folder", "nothing found to import"),
    ]:
        with pytest.raises(ManifestError) as caught:
            import_manifest(source, source_format=form)
        assert found in str(caught.value)
        assert "\n" not in str(caught.value)


def test_columns_for_a_format_that_has_none_are_refused(tmp_path):
    make_wavs(tmp_path, "a.wav")

    with pytest.raises(ManifestError, match=r"--columns text=x: this format has no columns"):
        import_manifest(tmp_path, columns={"text": "x"})


def test_importing_the_package_loads_no_heavy_library():
    heavy = ["torch", "numpy", "openpyxl", "pympi", "praatio", "charset_normalizer", "soundfile"]
    code = f"import sys, ctcasr.manifest; print([m for m in {heavy} if m in sys.modules])"

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == "[]"
