"""ELAN and TextGrid files, written by their own libraries or as the programs write them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from praatio import textgrid
from praatio.utilities.constants import Interval, Point
from pympi import Eaf

from ctcasr.errors import ManifestError
from ctcasr.manifest import import_manifest


def make_wavs(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        soundfile.write(folder / name, np.zeros(160, np.float32), 16_000)


def make_eaf(path: Path, tiers, *, media=(), origin: int | None = None) -> Path:
    """Write an .eaf file from {(name, participant): [(start ms, end ms, text)]}."""
    eaf = Eaf()
    eaf.remove_tier("default")
    for (name, participant), annotations in tiers.items():
        eaf.add_tier(name, part=participant)
        for annotation in annotations:
            eaf.add_annotation(name, *annotation)
    for link in media:
        where = f"file:///C:/Users/x/{link}"
        eaf.add_linked_file(where, f"./{link}", mimetype="audio/x-wav", time_origin=origin)
    path.parent.mkdir(parents=True, exist_ok=True)
    eaf.to_file(str(path))
    return path


def make_textgrid(path: Path, tiers, *, form: str = "long_textgrid") -> Path:
    grid = textgrid.Textgrid()
    for name, entries in tiers.items():
        kind = textgrid.PointTier if isinstance(entries[0], Point) else textgrid.IntervalTier
        grid.addTier(kind(name, entries, 0, 10))
    path.parent.mkdir(parents=True, exist_ok=True)
    grid.save(str(path), format=form, includeBlankSpaces=True)
    return path


def pieces(imported):
    return [(u.id, u.text, u.speaker, u.offset, u.duration) for u in imported.utterances]


# --- ELAN ---------------------------------------------------------------------------------------


def test_every_elan_annotation_becomes_a_timed_item(tmp_path):
    make_wavs(tmp_path, "talk.wav")
    tiers = {
        ("A_text", "Anna"): [(2100, 3450, "zwei"), (0, 1234, " eins ")],
        ("B_text", "Bén"): [(500, 900, "")],
    }

    imported = import_manifest(make_eaf(tmp_path / "talk.eaf", tiers))

    assert pieces(imported) == [
        ("talk-A_text-0.000", "eins", "Anna", 0.0, 1.234),
        ("talk-A_text-2.100", "zwei", "Anna", 2.1, 1.35),
        ("talk-B_text-0.500", None, "Bén", 0.5, 0.4),
    ]
    assert {u.path for u in imported.utterances} == {tmp_path / "talk.wav"}
    assert imported.left_out == ()


def test_tiers_without_participants_must_be_chosen(tmp_path):
    make_wavs(tmp_path, "talk.wav")
    tiers = {("words", None): [(0, 100, "a b")], ("phones [x]", None): [(0, 50, "p")]}
    source = make_eaf(tmp_path / "talk.eaf", tiers)

    with pytest.raises(ManifestError) as caught:
        import_manifest(source)
    chosen = import_manifest(source, columns={"text": "phones [x]"})
    fitting = import_manifest(source, columns={"text": "*o*"})

    assert str(caught.value) == (
        f"{source}: cannot tell which tier holds the text; the tiers are 'words', 'phones [x]'; "
        f'name it, for example: --columns "text=words" ("text=*" takes all of them)'
    )
    assert pieces(chosen) == [("talk-phones_[x]-0.000", "p", "phones [x]", 0.0, 0.05)]
    assert chosen.left_out == (("talk.eaf tier 'words'", "not chosen (1 annotations)"),)
    assert [u.speaker for u in fitting.utterances] == ["words", "phones [x]"]


def test_a_translation_tier_is_taken_only_when_asked_for(tmp_path):
    make_wavs(tmp_path, "talk.wav")
    eaf = Eaf()
    eaf.remove_tier("default")
    eaf.add_linguistic_type("note", constraints="Symbolic_Association", timealignable=False)
    eaf.add_tier("speech")
    eaf.add_annotation("speech", 1000, 2500, "bonjour")
    eaf.add_tier("english", ling="note", parent="speech")
    eaf.add_ref_annotation("english", "speech", 1500, "hello")
    eaf.to_file(str(tmp_path / "talk.eaf"))

    speech = import_manifest(tmp_path / "talk.eaf")
    english = import_manifest(tmp_path / "talk.eaf", columns={"text": "english"})

    assert [u.text for u in speech.utterances] == ["bonjour"]
    assert [(u.text, u.offset, u.duration) for u in english.utterances] == [("hello", 1.0, 1.5)]


def test_linked_media_is_found_beside_the_file_and_its_time_origin_counts(tmp_path):
    make_wavs(tmp_path, "micro phone.wav")
    tiers = {("A", "Anna"): [(0, 1000, "x")]}
    source = make_eaf(
        tmp_path / "talk.eaf", tiers, media=["video.mp4", "micro%20phone.wav"], origin=2500
    )

    (utterance,) = import_manifest(source).utterances

    assert (utterance.path.name, utterance.offset, utterance.duration) == (
        "micro phone.wav", 2.5, 1.0,
    )  # fmt: skip


def test_a_folder_of_elan_files_names_those_it_cannot_use(tmp_path):
    make_wavs(tmp_path / "one", "a.wav", "broken.wav", "other.wav")
    good = {("A", "Anna"): [(0, 1000, "x")]}
    make_eaf(tmp_path / "one" / "a.eaf", good)
    make_eaf(tmp_path / "two" / "lost.eaf", good, media=["video.mp4"])
    make_eaf(tmp_path / "one" / "other.eaf", {("B", "Ben"): [(0, 1000, "y")]})
    (tmp_path / "one" / "broken.eaf").write_text("<ANNOTATION_DOCUMENT", encoding="utf-8")

    imported = import_manifest(tmp_path, columns={"text": "A"})

    assert [u.id for u in imported.utterances] == ["one/a-A-0.000"]
    reasons = {Path(item).name: reason for item, reason in imported.left_out}
    assert "cannot be read (Exception: Unable to parse eaf" in reasons["broken.eaf"]
    assert reasons["lost.eaf"] == (
        "no recording lost.wav (or .flac, ...) beside it; it links video.mp4"
    )
    assert reasons["other.eaf"] == "no tier 'A'; its tiers are 'B'"


def test_an_elan_file_alone_that_gives_nothing_is_an_error(tmp_path):
    (tmp_path / "broken.eaf").write_text("no xml", encoding="utf-8")

    with pytest.raises(
        ManifestError, match=r"nothing could be imported: broken\.eaf: cannot be re"
    ):
        import_manifest(tmp_path / "broken.eaf")


# --- TextGrid -----------------------------------------------------------------------------------

INTERVALS = [Interval(0.5, 1.75, 'say "é"'), Interval(2.0, 3.0, "zwei")]


@pytest.mark.parametrize("form", ["long_textgrid", "short_textgrid"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_labelled_intervals_become_items_and_gaps_do_not(tmp_path, form, encoding):
    make_wavs(tmp_path, "talk.flac")
    source = make_textgrid(tmp_path / "talk.TextGrid", {"anna": INTERVALS}, form=form)
    source.write_bytes(source.read_text("utf-8").encode(encoding))

    imported = import_manifest(source)

    assert pieces(imported) == [
        ("talk-anna-0.500", 'say "é"', "anna", 0.5, 1.25),
        ("talk-anna-2.000", "zwei", "anna", 2.0, 1.0),
    ]
    assert imported.left_out == ()


def test_point_tiers_are_named_and_a_tier_can_be_chosen(tmp_path):
    make_wavs(tmp_path, "talk.wav")
    make_textgrid(
        tmp_path / "talk.TextGrid",
        {"tones": [Point(1.0, "H*")], "words": INTERVALS, "phones": [Interval(0.5, 0.6, "s")]},
    )

    imported = import_manifest(tmp_path, columns={"text": "words"})

    assert [u.text for u in imported.utterances] == ['say "é"', "zwei"]
    assert imported.left_out == (
        ("talk.TextGrid tier 'tones'", "holds points, not intervals"),
        ("talk.TextGrid tier 'phones'", "not chosen (1 annotations)"),
    )
    with pytest.raises(ManifestError, match="the tiers are 'words', 'phones'"):
        import_manifest(tmp_path)


def test_a_damaged_textgrid_is_left_out_by_name(tmp_path):
    make_wavs(tmp_path, "a.wav", "b.wav")
    make_textgrid(tmp_path / "a.TextGrid", {"anna": INTERVALS})
    whole = (tmp_path / "a.TextGrid").read_text("utf-8")
    (tmp_path / "b.TextGrid").write_text(whole[:180], encoding="utf-8")

    imported = import_manifest(tmp_path)

    assert {u.path.name for u in imported.utterances} == {"a.wav"}
    assert [item for item, _ in imported.left_out] == ["b.TextGrid"]


def test_only_the_text_column_can_be_chosen(tmp_path):
    make_wavs(tmp_path, "talk.wav")
    source = make_textgrid(tmp_path / "talk.TextGrid", {"anna": INTERVALS})

    with pytest.raises(ManifestError, match="there is no field 'speaker'; choose from text"):
        import_manifest(source, columns={"speaker": "anna"})
