import unicodedata
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import soundfile

from ctcasr.errors import ManifestError
from ctcasr.manifest import import_manifest


def make_wavs(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(160, np.float32), 16_000)


def texts_of(imported) -> dict[str, str | None]:
    return {utterance.path.name: utterance.text for utterance in imported.utterances}


GERMAN = "Datei;Satz;Wer\na.wav;Schöne Grüße aus Köln;Jürgen\nb.wav;Äpfel für Käthe;Zoë\n"
GERMAN_COLUMNS = {"audio": "Datei", "text": "Satz", "speaker": "Wer"}


# --- encodings, separators, quoting -------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "latin-1", "mac_roman"],
)
def test_the_same_table_is_read_in_every_encoding(tmp_path, encoding):
    make_wavs(tmp_path, "a.wav", "b.wav")
    (tmp_path / "t.csv").write_bytes(GERMAN.encode(encoding))

    imported = import_manifest(tmp_path / "t.csv", columns=GERMAN_COLUMNS)

    assert [(u.text, u.speaker) for u in imported.utterances] == [
        ("Schöne Grüße aus Köln", "Jürgen"),
        ("Äpfel für Käthe", "Zoë"),
    ]
    assert imported.left_out == ()


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "déjà vu à Noël"),
        ("cp1252", "“Grüße” – 5 €"),
        ("cp1250", "zażółć gęślą jaźń, dzień dobry państwu"),
        ("cp1251", "Привет, мир! Как твои дела сегодня? Спасибо, всё хорошо, а у тебя?"),
        ("cp932", "こんにちは世界"),
    ],
)
def test_a_guessed_encoding_is_right_and_noted(tmp_path, encoding, text):
    make_wavs(tmp_path, "a.wav")
    (tmp_path / "t.csv").write_bytes(f"audio;text\na.wav;{text}\n".encode(encoding))

    imported = import_manifest(tmp_path / "t.csv")

    assert texts_of(imported) == {"a.wav": text}
    assert any("not UTF-8; read as cp" in note for note in imported.notes)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_separator_and_line_ends_are_found(tmp_path, separator, line_end):
    make_wavs(tmp_path, "a.wav", "b.wav")
    lines = [["file", "text"], ["a.wav", "so; it, is"], ["b.wav", "one | two"]]
    cells = [[f'"{cell}"' if " " in cell else cell for cell in line] for line in lines]
    content = line_end.join(separator.join(line) for line in cells)
    (tmp_path / "t.csv").write_bytes(content.encode())

    assert texts_of(import_manifest(tmp_path / "t.csv")) == {
        "a.wav": "so; it, is",
        "b.wav": "one | two",
    }


def test_quoted_cells_may_hold_separators_quotes_and_newlines(tmp_path):
    make_wavs(tmp_path, "a.wav", "b.wav")
    (tmp_path / "t.csv").write_bytes(
        b'audio,text\r\na.wav,"he said ""yes"",\r\nthen left"\r\nb.wav,plain\r\n'
    )

    assert texts_of(import_manifest(tmp_path / "t.csv")) == {
        "a.wav": 'he said "yes",\r\nthen left',
        "b.wav": "plain",
    }


def test_a_quotation_mark_in_an_unquoted_table_swallows_no_rows(tmp_path):
    names = [f"{n}.wav" for n in range(6)]
    make_wavs(tmp_path, *names)
    texts = ["plain", '"Yes," he said', "plain", '"No', 'un"even', "end"]
    rows = "".join(f"{name}\t{text}\tx\n" for name, text in zip(names, texts, strict=True))
    (tmp_path / "t.tsv").write_text("audio\ttext\tmore\n" + rows, encoding="utf-8")

    assert list(texts_of(import_manifest(tmp_path / "t.tsv")).values()) == texts


# --- columns ------------------------------------------------------------------------------------


def test_obvious_headers_are_guessed_noted_and_the_rest_survives(tmp_path):
    make_wavs(tmp_path, "a.wav")
    (tmp_path / "t.csv").write_text(
        "File Name,Transcription,Speaker-ID,Dialect,Split,id,image\n"
        "a.wav,hi,anna,north,dev,,p.png\n",
        encoding="utf-8",
    )

    imported = import_manifest(tmp_path / "t.csv")

    (utterance,) = imported.utterances
    assert (utterance.id, utterance.text, utterance.speaker, utterance.split) == (
        "a", "hi", "anna", "dev",
    )  # fmt: skip
    assert utterance.extra == {"Dialect": "north", "column_image": "p.png"}
    (note,) = imported.notes
    assert note == (
        "t.csv: columns read as audio=File Name, text=Transcription, speaker=Speaker-ID, "
        "split=Split"
    )


def test_headers_that_say_nothing_are_listed_with_the_argument_to_type(tmp_path):
    (tmp_path / "t.csv").write_text(GERMAN, encoding="utf-8")

    with pytest.raises(ManifestError) as caught:
        import_manifest(tmp_path / "t.csv")

    assert str(caught.value) == (
        f"{tmp_path / 't.csv'}: cannot tell which column holds the audio and the text; the columns "
        f"are 'Datei', 'Satz', 'Wer'; name them, for example: --columns \"audio=Datei,text=Satz\""
    )


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"audio": "Datei", "text": "Saz"}, "no column 'Saz'; the columns are 'Datei', 'Satz'"),
        ({"audoi": "Datei"}, "there is no field 'audoi'; choose from id, audio,"),
        ({"audoi": "Datei"}, "did you mean 'audio'?"),
        ({"audio": "Datei"}, 'cannot tell which column holds the text; .*"audio=Datei,text=Satz"'),
    ],
)
def test_a_wrong_columns_argument_names_what_there_is(tmp_path, columns, found):
    (tmp_path / "t.csv").write_text(GERMAN, encoding="utf-8")

    with pytest.raises(ManifestError, match=found):
        import_manifest(tmp_path / "t.csv", columns=columns)


def test_an_id_column_that_repeats_is_no_id(tmp_path):
    make_wavs(tmp_path, "a.wav", "b.wav")
    (tmp_path / "t.csv").write_text("id,file,text\n1,a.wav,x\n1,b.wav,y\n", encoding="utf-8")

    imported = import_manifest(tmp_path / "t.csv")

    assert [(u.id, u.extra) for u in imported.utterances] == [
        ("a", {"column_id": "1"}), ("b", {"column_id": "1"}),
    ]  # fmt: skip


def test_pieces_of_one_recording_with_decimal_commas(tmp_path):
    make_wavs(tmp_path, "a.wav")
    (tmp_path / "t.csv").write_text(
        "audio;offset;duration;channel;text\na.wav;0,5;1,25;1;x\na.wav;2;3;;y\n", encoding="utf-8"
    )

    first, second = import_manifest(tmp_path / "t.csv").utterances

    assert (first.offset, first.duration, first.channel) == (0.5, 1.25, 1)
    assert (second.offset, second.duration, second.channel) == (2.0, 3.0, None)
    assert first.id != second.id


# --- names of recordings ------------------------------------------------------------------------


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_table", ["NFC", "NFD"])
def test_composed_and_decomposed_names_meet(tmp_path, on_disk, in_table):
    name = unicodedata.normalize(on_disk, "Größe é/clip ü.wav")
    make_wavs(tmp_path, name)
    written = unicodedata.normalize(in_table, "Größe é/clip ü.wav")
    (tmp_path / "t.csv").write_text(f"audio,text\n{written},x\n", encoding="utf-8")

    (utterance,) = import_manifest(tmp_path / "t.csv").utterances

    assert utterance.path.is_file()
    assert utterance.id == unicodedata.normalize("NFC", "Größe_é/clip_ü")


@pytest.mark.parametrize("folder", ["", "wavs", "clips", "audio"])
@pytest.mark.parametrize("written", ["Clip.1.wav", "clip.1.WAV", "Clip.1", "clip.1"])
def test_folder_case_and_suffix_of_a_name_are_found(tmp_path, folder, written):
    make_wavs(tmp_path / folder, "Clip.1.wav")
    (tmp_path / "t.csv").write_text(f"audio,text\n{written},x\n", encoding="utf-8")

    (utterance,) = import_manifest(tmp_path / "t.csv").utterances

    assert utterance.path.samefile(tmp_path / folder / "Clip.1.wav")


def test_absolute_and_windows_paths_are_found(tmp_path):
    make_wavs(tmp_path, "in/a.wav", "in/b.wav")
    (tmp_path / "t.csv").write_text(
        f"audio,text\nin\\a.wav,x\n{tmp_path / 'in' / 'b.wav'},y\n", encoding="utf-8"
    )

    assert texts_of(import_manifest(tmp_path / "t.csv")) == {"a.wav": "x", "b.wav": "y"}


# --- what is left out ---------------------------------------------------------------------------


def test_every_row_that_gives_no_item_is_named_with_the_reason(tmp_path):
    make_wavs(tmp_path, "a.wav", "b.wav")
    rows = [
        "a.wav,x,1", "gone.wav,y,1", ",z,1", "b.wav,u,soon", "b.wav,t,-1", "b.wav",
        "b.wav,too,1,many", "a.wav,again,1", "", "b.wav,,1",
    ]  # fmt: skip
    (tmp_path / "t.csv").write_text(
        "audio,text,duration\n" + "\n".join(rows) + "\n", encoding="utf-8"
    )

    imported = import_manifest(tmp_path / "t.csv")

    assert texts_of(imported) == {"a.wav": "x", "b.wav": None}
    assert imported.unlabelled == 1
    assert sorted(imported.left_out) == sorted([
        ("t.csv row 3", f"recording 'gone.wav' not found (looked in {tmp_path})"),
        ("t.csv row 4", "names no recording"),
        ("t.csv row 5", "duration is 'soon'; it must be a number of seconds"),
        ("t.csv row 6", "lasts -1 s; an item needs a duration above 0"),
        ("t.csv row 7", "has 1 cells where the header has 3"),
        ("t.csv row 8", "has 4 cells where the header has 3"),
        ("t.csv row 9", "has the same id 'a' as t.csv row 2"),
    ])  # fmt: skip


def test_a_table_whose_recordings_are_all_missing_is_an_error_that_says_where_it_looked(tmp_path):
    (tmp_path / "wavs").mkdir()
    rows = "".join(f"{n}.wav,x\n" for n in range(5))
    (tmp_path / "t.csv").write_text("audio,text\n" + rows, encoding="utf-8")

    with pytest.raises(ManifestError) as caught:
        import_manifest(tmp_path / "t.csv")

    message = str(caught.value)
    assert f"recording '0.wav' not found (looked in {tmp_path}, {tmp_path / 'wavs'})" in message
    assert "'2.wav'" in message
    assert "'3.wav'" not in message
    assert "and 2 more" in message


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "the table is empty"), (b"\n\n", "the table is empty"), (b"\0\1\2" * 9, "not a text")],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, content, found):
    (tmp_path / "t.csv").write_bytes(content)

    with pytest.raises(ManifestError, match=found):
        import_manifest(tmp_path / "t.csv")


# --- spreadsheets -------------------------------------------------------------------------------


def test_cells_of_a_spreadsheet_are_read_as_people_see_them(tmp_path):
    make_wavs(tmp_path, "5.wav", "0007.wav", "c.wav", "1.5.wav", "e.wav")
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.append(["File", "Text", "Speaker"])
    sheet.append([5.0, 12, None])
    sheet.append([7, "seven", 3.0])
    sheet["A3"].number_format = "0000"
    sheet.append(["c.wav", True, "c"])
    sheet.append([1.5, 0.1, "d"])
    sheet.append([])
    sheet.append(["e"])
    workbook.create_sheet("other").append(["File", "Text"])
    workbook.save(tmp_path / "t.xlsx")

    imported = import_manifest(tmp_path / "t.xlsx")

    assert [(u.path.name, u.text, u.speaker) for u in imported.utterances] == [
        ("5.wav", "12", None), ("0007.wav", "seven", "3"), ("c.wav", "TRUE", "c"),
        ("1.5.wav", "0.1", "d"), ("e.wav", None, None),
    ]  # fmt: skip
    assert imported.left_out == ()


def test_a_spreadsheet_that_cannot_be_opened_says_what_to_do(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"not a zip file")
    openpyxl.Workbook().save(tmp_path / "empty.xlsx")

    with pytest.raises(ManifestError, match=r"t\.xlsx: cannot be read as a spreadsheet .* as CSV"):
        import_manifest(tmp_path / "t.xlsx")
    with pytest.raises(ManifestError, match="the table is empty"):
        import_manifest(tmp_path / "empty.xlsx")


# --- LJSpeech and Common Voice ------------------------------------------------------------------


def test_ljspeech_layout(tmp_path):
    make_wavs(tmp_path / "wavs", "LJ001-0001.wav", "LJ001-0002.wav")
    (tmp_path / "metadata.csv").write_text(
        'LJ001-0001|"Dr. Smith has 2|"Doctor Smith has two\n'
        "LJ001-0002|in being comparatively modern.|in being comparatively modern.\n"
        "LJ001-0003|gone|gone\n",
        encoding="utf-8",
    )

    for source in (tmp_path, tmp_path / "metadata.csv"):
        imported = import_manifest(source)

        assert [(u.id, u.text, u.extra["transcription"]) for u in imported.utterances] == [
            ("LJ001-0001", '"Doctor Smith has two', '"Dr. Smith has 2'),
            ("LJ001-0002", "in being comparatively modern.", "in being comparatively modern."),
        ]
        assert [item for item, _ in imported.left_out] == ["metadata.csv row 3"]


COMMON_VOICE = "client_id\tpath\tsentence\tup_votes\tage\n"


def test_common_voice_layout_keeps_its_split_and_speakers(tmp_path):
    make_wavs(tmp_path / "clips", "cv_1.wav", "cv_2.wav", "cv_3.wav")
    (tmp_path / "validated.tsv").write_text(COMMON_VOICE + "x\tcv_1.wav\tno\t1\t\n", "utf-8")
    (tmp_path / "train.tsv").write_text(
        COMMON_VOICE + 'ab12\tcv_1.wav\t"Ja" sagte er\t2\tteens\nab12\tcv_2.wav\tHallo\t2\t\n',
        encoding="utf-8",
    )
    (tmp_path / "test.tsv").write_text(COMMON_VOICE + "cd34\tcv_3.wav\tEnde\t2\t\n", "utf-8")

    imported = import_manifest(tmp_path)

    assert [(u.id, u.text, u.speaker, u.split) for u in imported.utterances] == [
        ("clips/cv_1", '"Ja" sagte er', "ab12", "train"),
        ("clips/cv_2", "Hallo", "ab12", "train"),
        ("clips/cv_3", "Ende", "cd34", "test"),
    ]
    assert imported.utterances[0].extra == {"up_votes": "2", "age": "teens"}
    single = import_manifest(tmp_path / "validated.tsv")
    assert [(u.text, u.split) for u in single.utterances] == [("no", None)]


def test_a_folder_of_recordings_with_one_spreadsheet_is_a_table(tmp_path):
    make_wavs(tmp_path / "wavs", "a.wav")
    (tmp_path / "texts.csv").write_text("file,text\na.wav,x\n", encoding="utf-8")

    assert texts_of(import_manifest(tmp_path)) == {"a.wav": "x"}
    (tmp_path / "more.tsv").write_text("file\ttext\n", encoding="utf-8")
    with pytest.raises(
        ManifestError, match=r"needs one table .* found more\.tsv, texts\.csv; name"
    ):
        import_manifest(tmp_path)
