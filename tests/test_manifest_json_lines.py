import gzip
import json
import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctcasr.errors import ManifestError
from ctcasr.manifest import Modality, Utterance, read_manifest, write_manifest
from ctcasr.manifest.fields import RESERVED_NAMES, fields_of
from ctcasr.manifest.utterance import Source


def manifest_of(folder: Path, *lines: str, name: str = "m.jsonl") -> Path:
    path = folder / name
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8"))
    return path


def message_of(path: Path) -> str:
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- what is read -------------------------------------------------------------------------------


def test_every_field_is_read_and_the_others_survive(tmp_path):
    line = {
        "id": "u1", "audio": "wav/a.wav", "offset": 1, "duration": 2.5, "channel": 1,
        "text": "שלום", "speaker": "s", "group": "g", "split": "dev", "polygon": [[1, 2]],
        "note": None,
    }  # fmt: skip
    path = manifest_of(tmp_path, json.dumps(line))

    assert read_manifest(path) == [
        Utterance(
            id="u1", path=tmp_path / "wav/a.wav", offset=1.0, duration=2.5, channel=1,
            text="שלום", speaker="s", group="g", split="dev",
            extra={"polygon": [[1, 2]], "note": None},
        )
    ]  # fmt: skip


def test_missing_text_and_null_are_unlabelled_but_empty_text_is_silence(tmp_path):
    path = manifest_of(
        tmp_path, '{"audio": "a.wav"}', '{"audio": "b.wav", "text": null}',
        '{"audio": "c.wav", "text": ""}',
    )  # fmt: skip

    assert [utterance.text for utterance in read_manifest(path)] == [None, None, ""]


def test_nemo_name_of_the_audio_and_numbered_speakers_are_understood(tmp_path):
    path = manifest_of(tmp_path, '{"audio_filepath": "a.wav", "duration": 1.5, "speaker": 3}')

    (utterance,) = read_manifest(path)

    assert (utterance.path, utterance.speaker, utterance.extra) == (tmp_path / "a.wav", "3", {})


def test_byte_order_mark_crlf_and_empty_lines_change_nothing(tmp_path):
    plain = manifest_of(tmp_path, '{"audio": "a.wav", "text": "é"}', '{"audio": "b.wav"}')
    odd = tmp_path / "odd.jsonl"
    odd.write_bytes(
        b"\xef\xbb\xbf\r\n" + plain.read_bytes().replace(b"\n", b"\r\n") + b"\r\n  \r\n"
    )

    assert read_manifest(odd) == read_manifest(plain)


def test_line_separators_of_unicode_may_stand_in_text(tmp_path):
    path = manifest_of(tmp_path, '{"audio": "a.wav", "text": "a\u2028b\u0085c"}')

    assert read_manifest(path)[0].text == "a\u2028b\u0085c"


def test_compressed_manifest_reads_like_the_plain_one(tmp_path):
    plain = manifest_of(tmp_path, '{"audio": "a.wav"}')
    packed = tmp_path / "m.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))

    assert read_manifest(packed) == read_manifest(plain)


# --- ids ----------------------------------------------------------------------------------------


def test_ids_come_from_the_path_within_the_manifests_folder(tmp_path):
    inside = json.dumps({"audio": str(tmp_path / "wav" / "b.wav")})
    path = manifest_of(
        tmp_path, '{"audio": "wav/my clip  1.wav"}', inside, '{"audio": "../up/e\u0301.flac"}'
    )

    assert [u.id for u in read_manifest(path)] == ["wav/my_clip_1", "wav/b", "up/\u00e9"]


def test_pieces_of_one_file_are_told_apart_by_offset_and_channel(tmp_path):
    path = manifest_of(
        tmp_path,
        '{"audio": "a.wav", "channel": 0}',
        '{"audio": "a.wav", "channel": 1}',
        '{"audio": "a.wav", "channel": 1, "offset": 2.50}',
        '{"audio": "b.wav", "offset": 0.5}',
        '{"audio": "./b.wav", "offset": 10}',
        '{"audio": "c.wav", "offset": 7}',
    )

    ids = [utterance.id for utterance in read_manifest(path)]

    assert ids == ["a-0-ch0", "a-0-ch1", "a-2.5-ch1", "b-0.5", "b-10", "c"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('{"id": "x", "audio": "a.wav"}', '{"id": "x", "audio": "b.wav"}'),
        ('{"audio": "x.wav"}', '{"audio": "x.flac"}'),
        ('{"audio": "x.wav"}', '{"audio": "x.wav"}'),
        ('{"audio": "x.wav"}', '{"id": "x", "audio": "b.wav"}'),
    ],
)
def test_one_id_on_two_lines_names_both(tmp_path, first, second):
    path = manifest_of(tmp_path, first, '{"audio": "other.wav"}', second)

    assert message_of(path) == (
        f"{path}: lines 1 and 3: both have the id 'x'; give each line its own 'id'"
    )


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('{"audio": "a.wav" "text": "b"}', "line 2, column 19: not JSON (Expecting ',' delimiter)"),
        ('{"audio": "a.wav", "text": "b"', "line 2, column 31: not JSON"),
        ("[1, 2]", "line 2, column 1: found [1, 2]"),
        ("audio;text", "line 2, column 1: not JSON"),
        ('{"audio": "a.wav", "audio": "b.wav"}', "line 2: the key 'audio' is given twice"),
        ('{"audio": "a.wav", "x": NaN}', "line 2: NaN is not a number"),
        ('{"audio": "a.wav", "x": 1e999}', "line 2: the number 1e999 is too large"),
        ('{"audio": "a.wav", "text": "\\ud83d"}', "line 2: \\ud83d is half a character"),
        ('{"audio": "a.wav", "x": ' + "[" * 99999, "line 2: "),
        ('{"audio": "a.wav", "x": ' + "9" * 9999 + "}", "line 2: "),
        ('{"text": "b"}', "line 2: no 'audio'"),
        ('{"audio": null}', "line 2: no 'audio'"),
        ('{"audio": 3}', "line 2: 'audio' is 3; it must be the path of a recording"),
        ('{"audio": ""}', "line 2: 'audio' is \"\""),
        ('{"audio": ".."}', "line 2: 'audio' is \"..\""),
        ('{"audio": "s3://bucket/a.wav"}', '"s3://bucket/a.wav", but names with :// are reserved'),
        ('{"audio": "a.wav", "audio_filepath": "a.wav"}', "both 'audio' and 'audio_filepath'"),
        ('{"image": "a.png", "audio": "a.wav"}', "both 'audio' and 'image'; an item is one of"),
        ('{"ink": "s3://bucket/a.inkml"}', "'ink' is \"s3://bucket/a.inkml\", but names with ://"),
        ('{"ink": "a.npz", "index": -1}', "'index' is -1; it must be a whole number"),
        ('{"ink": "a.inkml", "traces": []}', "'traces' is []; it must be a list of ids"),
        ('{"ink": "a.inkml", "traces": "t1"}', "'traces' is \"t1\""),
        ('{"image": "a.png", "polygon": [[0, 0], [1, 0]]}', "a list of [x, y], at least three"),
        ('{"image": "a.png", "polygon": [[0, 0], [1, 0], [1]]}', "'polygon' is [[0, 0], [1, 0]"),
        ('{"image": "a.png", "baseline": [[0, 0]]}', "a list of [x, y], at least two"),
        ('{"image": "a.png", "source": "p.xml"}', 'an object {"file": path, "element": id}'),
        ('{"audio": "a.wav", "offset": -1}', "'offset' is -1; it must be a number of seconds, 0"),
        ('{"audio": "a.wav", "offset": "1"}', "'offset' is \"1\"; it must be a number"),
        ('{"audio": "a.wav", "offset": true}', "'offset' is true"),
        ('{"audio": "a.wav", "duration": 0}', "'duration' is 0; it must be a number of seconds ab"),
        ('{"audio": "a.wav", "duration": 1' + "0" * 400 + "}", "'duration' is 1000"),
        ('{"audio": "a.wav", "channel": 1.0}', "'channel' is 1.0; it must be a whole number"),
        ('{"audio": "a.wav", "channel": -1}', "'channel' is -1"),
        ('{"audio": "a.wav", "channel": true}', "'channel' is true"),
        ('{"audio": "a.wav", "text": 5}', "'text' is 5; it must be a string"),
        ('{"audio": "a.wav", "id": "a b"}', "'id' is \"a b\"; it must be a string without spaces"),
        ('{"audio": "a.wav", "id": ""}', "'id' is \"\""),
        ('{"audio": "a.wav", "id": 7}', "'id' is 7"),
        ('{"audio": "a.wav", "speaker": ["x"]}', "'speaker' is [\"x\"]; it must be a string"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named_with_what_was_found_and_what_is_needed(tmp_path, line, found):
    path = manifest_of(tmp_path, '{"audio": "good.wav"}', line)

    message = message_of(path)

    assert message.startswith(f"{path}: line 2")
    assert found in message
    assert len(message) < 400


def test_bytes_that_are_not_utf8_are_named_by_line_and_column(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"audio": "a.wav"}\n{"audio": "\xc3\xa9\xe9.wav"}\n')

    assert message_of(path) == (
        f"{path}: line 2, column 13: byte 0xe9 is not UTF-8; save the manifest as UTF-8"
    )


def test_a_field_of_another_modality_is_a_field_like_any_other(tmp_path):
    path = manifest_of(tmp_path, '{"audio": "a.wav", "index": "third", "source": "radio"}')

    (utterance,) = read_manifest(path)

    assert utterance.extra == {"index": "third", "source": "radio"}
    assert (utterance.index, utterance.source) == (None, None)


def test_ids_of_ink_tell_items_of_one_file_apart(tmp_path):
    path = manifest_of(
        tmp_path,
        '{"ink": "pack.npz", "index": 0}',
        '{"ink": "pack.npz", "index": 1}',
        '{"ink": "page.inkml", "traces": ["line 1", "dot"]}',
        '{"ink": "page.inkml", "traces": ["line 2"]}',
    )

    ids = [utterance.id for utterance in read_manifest(path)]

    assert ids == ["pack-0", "pack-1", "page-line_1", "page-line_2"]


def test_files_that_are_no_manifest_say_what_to_do(tmp_path):
    empty = manifest_of(tmp_path, "", "  ", name="empty.jsonl")
    wide = tmp_path / "wide.jsonl"
    wide.write_bytes('{"audio": "a.wav"}\n'.encode("utf-16"))
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(b'{"audio": "a.wav"}\n' * 99)[:-12])

    assert "no such manifest" in message_of(tmp_path / "missing.jsonl")
    assert "the manifest is empty; write one JSON object per line" in message_of(empty)
    assert f"`ctcasr manifest {tmp_path} -o FILE`" in message_of(tmp_path)
    assert "is UTF-16; save the manifest as UTF-8" in message_of(wide)
    assert "damaged or cut short" in message_of(cut)


# --- what is written ----------------------------------------------------------------------------


def test_lines_have_a_fixed_order_relative_paths_and_plain_characters(tmp_path):
    folder = tmp_path / "lists"
    utterance = Utterance(
        id="u1", path=tmp_path / "wav" / "é.wav", text="héllo", split="dev", channel=0,
        extra={"z": 1, "a": {"k": None}},
    )  # fmt: skip

    write_manifest(folder / "m.jsonl", [utterance])

    assert (folder / "m.jsonl").read_bytes().decode("utf-8") == (
        '{"id": "u1", "audio": "../wav/é.wav", "channel": 0, "text": "héllo", "split": "dev", '
        '"z": 1, "a": {"k": null}}\n'
    )


def test_equal_items_give_equal_compressed_bytes(tmp_path):
    utterances = [Utterance(id=f"u{n}", path=tmp_path / f"{n}.wav") for n in range(9)]

    write_manifest(tmp_path / "a.jsonl.gz", utterances)
    write_manifest(tmp_path / "b.jsonl.gz", utterances)

    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert read_manifest(tmp_path / "a.jsonl.gz") == utterances


@pytest.mark.parametrize(
    ("utterances", "found"),
    [
        ([], "there are no items to write"),
        ([Utterance(id="a", path=Path("a.wav"))] * 2, "utterance 'a': the id is given twice"),
        ([Utterance(id="a b", path=Path("a.wav"))], "'id' is \"a b\""),
        ([Utterance(id="a", path=Path("a.wav"), offset=-1.0)], "'offset' is -1.0"),
        ([Utterance(id="a", path=Path("a.wav"), extra={"text": "x"})], "stands in `extra`"),
        ([Utterance(id="a", path=Path("a.wav"), extra={"x": float("nan")})], "as JSON"),
        ([Utterance(id="a", path=Path("a.wav"), extra={"x": {1}})], "as JSON"),
        ([Utterance(id="a", path=Path("\udcff.wav"))], "is not valid Unicode; rename the file"),
    ],
)
def test_nothing_is_written_that_could_not_be_read_again(tmp_path, utterances, found):
    path = manifest_of(tmp_path, '{"audio": "before.wav"}')
    before = path.read_bytes()

    with pytest.raises(ManifestError, match=re.escape(found)):
        write_manifest(path, utterances)

    assert path.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_manifest_in_a_linked_folder_finds_its_recordings(tmp_path):
    (tmp_path / "deep" / "real").mkdir(parents=True)
    (tmp_path / "deep" / "a.wav").write_bytes(b"sound")
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "real", target_is_directory=True)
    path = tmp_path / "link" / "m.jsonl"

    write_manifest(path, [Utterance(id="a", path=tmp_path / "deep" / "a.wav")])

    assert json.loads(path.read_bytes())["audio"] == "../a.wav"
    assert read_manifest(path)[0].path.read_bytes() == b"sound"


# --- the law ------------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), max_size=8)
plain_names = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "M"]), min_size=1, max_size=6
)
seconds = st.floats(0, 1e6, allow_nan=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
RESERVED = RESERVED_NAMES.union(*map(fields_of, Modality))
extras = st.dictionaries(texts.filter(lambda name: name not in RESERVED), json_values, max_size=3)


coordinates = st.floats(-1e4, 1e4) | st.integers(-9, 9).map(float)
points = st.tuples(coordinates, coordinates)


sources = st.builds(Source, st.just(Path("page.xml")), texts)
stroke_names = st.lists(texts.filter(bool), min_size=1, max_size=3).map(tuple)


def or_none(strategy):
    return st.none() | strategy


def outlines(least):
    return or_none(st.lists(points, min_size=least, max_size=least + 2).map(tuple))


PLACES = {
    Modality.AUDIO: {
        "offset": seconds,
        "duration": or_none(seconds.filter(bool)),
        "channel": or_none(st.integers(0, 9)),
    },
    Modality.INK: {
        "index": or_none(st.integers(0, 9)),
        "traces": or_none(stroke_names),
        "source": or_none(sources),
    },
    Modality.IMAGE: {
        "polygon": outlines(3),
        "baseline": outlines(2),
        "source": or_none(sources),
    },
}


@st.composite
def places(draw):
    """What says where an item of some modality lies in its file."""
    modality = draw(st.sampled_from(Modality))
    return {"modality": modality, **draw(st.fixed_dictionaries(PLACES[modality]))}


@st.composite
def utterance_lists(draw):
    names = draw(st.lists(plain_names, min_size=1, max_size=5, unique=True))
    return [
        Utterance(
            id=name,
            path=Path(draw(st.sampled_from([".", "in", "in/er", "../out"])), name + ".wav"),
            **draw(places()),
            text=draw(st.none() | texts),
            speaker=draw(st.none() | texts),
            group=draw(st.none() | texts),
            split=draw(st.none() | texts),
            extra=draw(extras),
        )
        for name in names
    ]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(utterances=utterance_lists(), suffix=st.sampled_from([".jsonl", ".jsonl.gz"]))
def test_what_was_written_reads_back_equal(tmp_path, utterances, suffix):
    folder = Path(os.path.realpath(tmp_path)) / "lists"
    path = folder / f"m{suffix}"
    placed = [
        Utterance(
            **{
                **{name: getattr(u, name) for name in Utterance.__slots__},
                "path": Path(os.path.normpath(folder / u.path)),
                "source": u.source and Source(folder / u.source.file, u.source.element),
            }
        )
        for u in utterances
    ]

    write_manifest(path, placed)

    assert read_manifest(path) == placed
