import gzip
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.errors import ScoringError
from ctcasr.scoring import Failed, Reference, pair_items
from ctcasr.scoring.nist_tokens import escape_id, escape_word, unescape_id, unescape_word
from ctcasr.transcript import TimedWord


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        if isinstance(content, list):
            content = "".join(json.dumps(record) + "\n" for record in content)
        data = content if isinstance(content, bytes) else content.encode("utf-8")
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write_file


def pair_files(reference, hypothesis):
    """What `score_utterances` takes."""
    paired = pair_items(reference, hypothesis)
    return paired.references(), paired.outputs()


MANIFEST = [
    {"id": "u1", "text": "one", "speaker": "ann", "audio": "nowhere/u1.wav", "snr": 20, "x": []},
    {"id": "u2", "text": ""},
    {"id": "u3"},
]


@pytest.mark.parametrize("name", ["ref.jsonl", "ref.jsonl.gz"])
def test_manifests_are_paired_with_transcripts_by_id_without_their_recordings(write, name):
    transcripts = [
        {"schema": 1, "id": "u2", "text": "x", "error": None, "words": []},
        {"schema": 1, "id": "u1", "text": "", "error": {"kind": "AudioError", "message": "bad"}},
        {"schema": 1, "id": "u3", "text": None, "error": None},
    ]

    said, recognised = pair_files(write(name, MANIFEST), write("hyp.jsonl", transcripts))

    assert said == [
        Reference("u1", "one", "ann", {"snr": 20}),
        Reference("u2", "", None),
        Reference("u3", None, None),
    ]
    assert recognised == {
        "u1": Failed("bad"),
        "u2": "x",
        "u3": Failed("the hypothesis has no text"),
    }


def test_tables_are_paired_by_id(write):
    said, recognised = pair_files(
        write("ref.tsv", "b\ttwo\r\na\tone\r\n"), write("hyp.tsv", "\ufeffa\tone\nb\t\n")
    )

    assert said == [Reference("b", "two"), Reference("a", "one")]
    assert recognised == {"a": "one", "b": ""}


def test_plain_text_is_paired_line_by_line_empty_lines_included(write):
    said, recognised = pair_files(write("ref.txt", "one\n\nthree\n"), write("hyp.txt", "1\n2\n\n"))

    assert said == [
        Reference("line-1", "one"),
        Reference("line-2", ""),
        Reference("line-3", "three"),
    ]
    assert recognised == {"line-1": "1", "line-2": "2", "line-3": ""}


def test_plain_text_takes_the_ids_of_the_other_file(write):
    said, recognised = pair_files(write("ref.jsonl", MANIFEST), write("hyp.txt", "a\nb\nc\n"))

    assert [item.id for item in said] == ["u1", "u2", "u3"]
    assert recognised == {"u1": "a", "u2": "b", "u3": "c"}


def test_one_character_and_odd_line_breaks_are_text(write):
    said, _ = pair_files(write("ref.txt", "a\nb\u2028c\n"), write("hyp.txt", "a\nb\n"))

    assert [item.text for item in said] == ["a", "b\u2028c"]


def test_empty_files_hold_nothing(write):
    assert pair_files(write("ref.txt", ""), write("hyp.txt", "")) == ([], {})


def test_line_counts_that_differ_are_named(write):
    with pytest.raises(
        ScoringError, match=r"ref\.txt has 2 lines but .*hyp\.txt has 1; plain text"
    ):
        pair_files(write("ref.txt", "a\nb\n"), write("hyp.txt", "a\n"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", '{"id": "a"}\n{"id" "b"}\n', "x.jsonl:2:7: not JSON (Expecting ':' delimiter)"),
        ("x.jsonl", '{"text": "a"}\n', 'x.jsonl:1: no "id" and no "audio_filepath"; items'),
        ("x.jsonl", "[1]\n", "x.jsonl:1: list found; write one JSON object on each line"),
        ("x.jsonl", '{"id": 7}\n', "x.jsonl:1: 'id' is 7; give a string"),
        ("x.jsonl", '{"id": "a", "text": ["b"]}\n', "'text' is [\"b\"]; give a string"),
        ("x.jsonl", '{"id": "a"}\n{"id": "a"}\n', "x.jsonl: ids given twice: 'a'; give each"),
        ("x.tsv", "a one\n", "x.tsv:1:6: 'a one' found; write an id, a tab and the text"),
        (
            "x.trn",
            "one (a)\n\ntwo\n",
            "x.trn:3:3: no id at the end; write the text, then its id in",
        ),
        ("x.trn", "one { b / c } (a)\n", "x.trn:1:5: '{' in the text; alternatives and words"),
        ("x.trn", "one (uh) two (a)\n", "x.trn:1:5: '(' in the text; alternatives and words"),
        ("x.stm", "a 1 x 0.0\n", "x.stm:1:9: 4 fields; needed are recording, channel, speaker,"),
        ("x.stm", "a 1 x 0.0 end one\n", "x.stm:1:11: 'end' is no time; give seconds, as in"),
        ("x.stm", "a 1 x 0 1 <o> one (b)\n", "x.stm:1:19: '(' in the text"),
        ("x.ctm", ";; fine\na 1 0.0 0.5\n", "x.ctm:2:11: 4 fields; needed are recording,"),
        ("x.ctm", "a 1 -1 0.5 one\n", "x.ctm:1:5: '-1' is no time"),
        (
            "x.json",
            '{"text": "a",\n "segments" }',
            "x.json:2:13: not JSON (Expecting ':' delimiter)",
        ),
        ("x.json", '["a"]', "x.json:1:1: found list; needed is what whisper writes"),
        ("x.json", '{"results": []}', "x.json:1:1: found 'results'; needed is what whisper"),
        ("x.jsonl", "[" * 100_000, "x.jsonl:1: too many brackets within brackets"),
        ("x.tsv", "a\tone\na\ttwo\n", "x.tsv: ids given twice: 'a'"),
        ("x.txt", b"caf\xe9\n", "x.txt:1:4: byte 0xe9 is not UTF-8; save it as UTF-8 text"),
    ],
)
def test_what_cannot_be_understood_is_named_by_line(write, name, content, message):
    with pytest.raises(ScoringError, match=re.escape(message)):
        pair_files(write(name, content), write("hyp.jsonl", [{"id": "a", "text": "b"}]))


def test_files_that_cannot_be_read_are_named(write, tmp_path):
    hypothesis = write("hyp.txt", "a\n")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"x" * 1000)[:20])
    (tmp_path / "not.jsonl.gz").write_bytes(b"{}")

    with pytest.raises(ScoringError, match=r"none\.txt: cannot be read \(No such file"):
        pair_files(tmp_path / "none.txt", hypothesis)
    for name in ("cut.jsonl.gz", "not.jsonl.gz"):
        with pytest.raises(ScoringError, match=rf"{name}: cannot be read"):
            pair_files(tmp_path / name, hypothesis)


# Other systems


@pytest.mark.parametrize("name", ["nemo.jsonl", "nemo.json"])
def test_nemos_output_is_scored_against_its_own_reference(write, name):
    lines = [
        {"audio_filepath": "/data/wav/a 1.wav", "duration": 2, "text": "one", "pred_text": "won"},
        {"audio_filepath": "/data/wav/b.flac", "duration": 3, "text": "two", "pred_text": "two"},
    ]
    path = write(name, lines)

    said, recognised = pair_files(path, path)

    assert said == [Reference("data/wav/a_1", "one"), Reference("data/wav/b", "two")]
    assert recognised == {"data/wav/a_1": "won", "data/wav/b": "two"}


def test_pieces_of_one_recording_are_told_apart_by_their_offsets(write):
    pieces = [
        {"audio_filepath": "a.wav", "offset": at, "duration": 2, "text": "x", "pred_text": f"{at}"}
        for at in (0, 2.5)
    ]

    _, recognised = pair_files(write("ref.jsonl", pieces), write("hyp.jsonl", pieces))

    assert recognised == {"a-0": "0", "a-2.5": "2.5"}


@pytest.mark.parametrize(
    "output",
    [
        {"audio_filepath": "/elsewhere/u1.wav", "pred_text": "one"},
        {"audio_filepath": "C:\\sound\\u1.WAV", "pred_text": "one"},
        {"id": "u1.flac", "text": "one"},
    ],
)
def test_ids_that_do_not_meet_are_paired_by_file_name(write, output):
    manifest = [{"id": "test/u1", "text": "one"}, {"id": "u2", "text": "two"}]

    _, recognised = pair_files(write("ref.jsonl", manifest), write("hyp.jsonl", [output]))

    assert recognised == {"test/u1": "one"}


@pytest.mark.parametrize(
    ("said", "heard"),
    [(["x/a", "y/a"], ["z/a"]), (["x/a"], ["y/a", "z/a"]), (["x/a", "y/a"], ["x/a", "z/b"])],
)
def test_file_names_that_fit_twice_pair_nothing(write, said, heard):
    reference = [{"id": name, "text": "one"} for name in said]
    hypothesis = [{"id": name, "text": "one"} for name in heard]

    _, recognised = pair_files(write("ref.jsonl", reference), write("hyp.jsonl", hypothesis))

    assert list(recognised) == heard


WHISPER = {
    "text": " One two.",
    "segments": [
        {
            "start": 0.0,
            "end": 1.5,
            "text": " One two.",
            "words": [
                {"word": " One", "start": 0.25, "end": 0.5, "probability": 0.9},
                {"word": " two.", "start": 0.75, "end": 1.5, "probability": 0.5},
            ],
        }
    ],
    "language": "en",
}


def test_whispers_file_is_named_after_its_recording(write, tmp_path):
    path = write("u1.json", json.dumps(WHISPER))
    reference = write("ref.tsv", "u1\tone two\n")

    (item,) = pair_items(reference, path).heard

    assert (item.id, item.text) == ("u1", "One two.")
    assert item.words == (TimedWord("One", 0.25, 0.5, 0.9), TimedWord("two.", 0.75, 1.5, 0.5))


def test_segments_without_a_whole_text_are_joined(write):
    segments = [{"text": " One"}, {"text": " two."}]
    path = write("u1.json", json.dumps({"segments": segments}))

    assert pair_files(write("r.tsv", "u1\tx\n"), path)[1] == {"u1": "One two."}


def test_a_folder_holds_a_file_for_each_recording(write, tmp_path):
    (tmp_path / "out" / "day").mkdir(parents=True)
    write("out/day/u1.txt", "\ufeffone\r\ntwo\r\n")
    write("out/u2.txt", "שלום\n")
    reference = write("ref.tsv", "u1\tone two\nu2\tשלום\n")

    assert pair_files(reference, tmp_path / "out")[1] == {"u1": "one two", "u2": "שלום"}

    write("out/u2.json", json.dumps(WHISPER))
    with pytest.raises(ScoringError, match=r"out: u1\.txt has no \.json file beside it"):
        pair_files(reference, tmp_path / "out")
    write("out/day/u1.json", json.dumps(WHISPER))
    assert pair_files(reference, tmp_path / "out")[1] == {"u1": "One two.", "u2": "One two."}


def test_a_folder_without_texts_is_refused(write, tmp_path):
    (tmp_path / "empty").mkdir()

    with pytest.raises(ScoringError, match=r"empty: no \.txt and no \.json file in this folder"):
        pair_files(write("ref.tsv", "a\tb\n"), tmp_path / "empty")


def test_trn_holds_texts_with_their_ids(write):
    reference = write("ref.trn", "one two (spk-a)\r\n;; a comment\n(spk-b)\n%7Bx%7D @ (c%20d)\r\n")
    hypothesis = write("hyp.trn", "one (spk-a)\n  (c%20d)\n")

    said, recognised = pair_files(reference, hypothesis)

    assert [(item.id, item.text) for item in said] == [
        ("spk-a", "one two"),
        ("spk-b", ""),
        ("c d", "{x}"),
    ]
    assert recognised == {"spk-a": "one", "c d": ""}


STM = """;; two talks
talk 1 ann 0.00 2.00 <o,f0,female> one two
talk 1 bob 2.50 4.00 three
talk 1 ann 4.00 6.00 IGNORE_TIME_SEGMENT_IN_SCORING
other A eve 0.00 9.00 four
"""
CTM = """talk 1 2.60 0.40 free 0.9
talk 1 0.10 0.40 one NA
talk 1 0.60 0.40 two
talk 1 2.10 0.10 uh
talk 1 4.50 0.10 noise
other 1 0.50 0.40 four
"""


def test_words_go_to_the_segments_that_they_lie_in(write):
    paired = pair_items(write("ref.stm", STM), write("hyp.ctm", CTM))

    assert paired.references() == [
        Reference("talk@0.000-2.000", "one two", "ann"),
        Reference("talk@2.500-4.000", "three", "bob"),
        Reference("talk@4.000-6.000", None, "ann"),
        Reference("other", "four", "eve"),
    ]
    assert paired.outputs() == {
        "talk@0.000-2.000": "one two uh",  # 2.15 s is nearer to 2.00 than to 2.50
        "talk@2.500-4.000": "free",
        "talk@4.000-6.000": "noise",
        "other": "four",
    }
    assert paired.heard[1].words == (TimedWord("free", 2.6, 3.0, 0.9),)


def test_a_word_across_the_border_of_two_segments_goes_where_its_middle_lies(write):
    reference = write("ref.stm", "talk 1 x 0 2 one\ntalk 1 x 2 4 two\n")

    _, recognised = pair_files(reference, write("hyp.ctm", "talk 1 1.75 1.00 two\n"))

    assert list(recognised.values()) == ["", "two"]


def test_channels_of_a_recording_are_items_of_their_own(write):
    hypothesis = write("hyp.ctm", "talk A 0 1 left\ntalk B 0 1 right\n")
    reference = write("ref.stm", "talk A x 0 2 left\ntalk B y 0 2 right\n")

    assert pair_files(reference, hypothesis)[1] == {"talk#0": "left", "talk#1": "right"}


def test_recordings_that_the_reference_lacks_keep_their_name(write):
    hypothesis = write("hyp.ctm", CTM + "third 1 0 1 five\n")

    assert pair_files(write("ref.stm", STM), hypothesis)[1]["third"] == "five"


WORD = st.characters(exclude_categories=["Z", "C"], exclude_characters="%")


@given(word=st.text(WORD, min_size=1, max_size=6), name=st.text(min_size=1, max_size=6))
def test_nist_tokens_are_read_back_as_they_were(word, name):
    for written in (escape_word(word), escape_id(name)):
        assert not re.search(r"[{}()<\s]", written)
    assert not escape_id(f";;{name}").startswith(";;")  # would be a comment
    assert unescape_word(escape_word(word)) == word
    assert unescape_id(escape_id(name)) == name
