import contextlib
from pathlib import Path, PurePath

import pytest

from ctcasr.errors import OutputError
from ctcasr.manifest import Utterance
from ctcasr.pipeline.inputs import Input
from ctcasr.pipeline.outputs import Existing, TranscriptFiles, plan_outputs
from ctcasr.reporting.transcripts import TranscriptFormat as Format
from ctcasr.transcript import Failure, Transcript


def item(name, path=None):
    return Input(Utterance(id=name, path=Path(path or f"{name}.wav")), PurePath(name))


def said(text, *, error=None):
    return Transcript(id="i", source=None, model={}, decoder={}, text=text, error=error)


def plan(items, output, *, formats=(Format.TXT,), existing=Existing.REFUSE, is_folder=True):
    return plan_outputs(
        items, output=output, is_folder=is_folder, formats=formats, existing=existing
    )


def write(plan, texts):
    with TranscriptFiles(plan) as files:
        for one, transcript in zip(plan.todo, texts, strict=True):
            files.write(one, transcript)


def test_a_folder_mirrors_its_inputs(tmp_path):
    made = plan([item("a"), item("sub/b")], tmp_path, formats=(Format.TXT, Format.TSV))

    write(made, [said("one"), said("two")])

    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "one\n"
    assert (tmp_path / "sub" / "b.tsv").read_text(encoding="utf-8") == "i\ttwo\n"


def test_one_file_holds_a_line_for_each_input(tmp_path):
    file = tmp_path / "all.txt"

    write(
        plan([item("a"), item("b"), item("c")], file, is_folder=False),
        [said("one"), said("", error=Failure("AudioError", "b")), said("three")],
    )

    assert file.read_bytes() == b"one\n\nthree\n"


def test_several_transcripts_of_one_input_share_its_file(tmp_path):
    one = item("a")
    with TranscriptFiles(plan([one], tmp_path)) as files:
        files.write(one, said("left"))
        files.write(one, said("right"))

    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "left\nright\n"


def test_a_failed_input_leaves_no_file_so_that_it_is_tried_again(tmp_path):
    write(plan([item("a")], tmp_path), [said("", error=Failure("AudioError", "broken"))])

    assert list(tmp_path.iterdir()) == []
    assert len(plan([item("a")], tmp_path, existing=Existing.SKIP).todo) == 1


def test_what_is_done_is_kept_when_the_rest_breaks_off(tmp_path):
    items = [item("a"), item("b")]
    folder, file = tmp_path / "folder", tmp_path / "all.txt"
    for made in (plan(items, folder), plan(items, file, is_folder=False)):
        with contextlib.suppress(KeyboardInterrupt), TranscriptFiles(made) as files:
            files.write(items[0], said("one"))
            raise KeyboardInterrupt

    assert file.read_text(encoding="utf-8") == "one\n"
    assert [path.name for path in folder.iterdir()] == ["a.txt"]


def test_two_inputs_with_one_output_are_refused(tmp_path):
    with pytest.raises(OutputError) as caught:
        plan([item("a", "p/a.wav"), item("a", "q/a.wav")], tmp_path)
    assert str(caught.value) == (
        f"{Path('p/a.wav')} and {Path('q/a.wav')} would both be written to {tmp_path / 'a.txt'}; "
        f"transcribe them into different folders"
    )


def test_several_formats_need_a_folder(tmp_path):
    with pytest.raises(OutputError, match="one file cannot hold 2 formats; give a folder: -o DIR"):
        plan([item("a")], tmp_path / "x.txt", formats=(Format.TXT, Format.TSV), is_folder=False)


@pytest.mark.parametrize("existing", Existing)
@pytest.mark.parametrize("is_folder", [True, False])
def test_what_stands_already_is_refused_skipped_or_replaced(tmp_path, existing, is_folder):
    stands = tmp_path / "a.txt"
    stands.write_text("before", encoding="utf-8")
    output = tmp_path if is_folder else stands

    if existing is Existing.REFUSE:
        with pytest.raises(OutputError) as caught:
            plan([item("a")], output, is_folder=is_folder)
        assert str(caught.value) == (
            f"{stands}: exists already; add --skip-existing or --overwrite, or name another place"
        )
    else:
        made = plan([item("a")], output, is_folder=is_folder, existing=existing)
        write(made, [said("after")] * len(made.todo))
        expected = "before" if existing is Existing.SKIP else "after\n"
        assert stands.read_text(encoding="utf-8") == expected


def test_more_that_stand_already_are_counted(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").touch()
    with pytest.raises(OutputError, match=r"a\.txt: exists already \(and 1 more\);"):
        plan([item("a"), item("b")], tmp_path)


def test_skipping_asks_for_every_format(tmp_path):
    (tmp_path / "a.txt").touch()
    both = (Format.TXT, Format.JSONL)

    assert len(plan([item("a")], tmp_path, formats=both, existing=Existing.SKIP).todo) == 1


def test_a_recording_is_never_replaced_by_its_text(tmp_path):
    recording = tmp_path / "a.wav"
    with pytest.raises(OutputError, match=r"a\.wav: is one of the inputs"):
        plan([item("a", recording)], recording, is_folder=False, existing=Existing.OVERWRITE)
