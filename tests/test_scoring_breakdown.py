import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.scoring import Reference, score_utterances
from ctcasr.scoring.breakdown import break_down
from ctcasr.scoring.measured import Measured


def utterances(rows, *, measured=None):
    """Rows of (id, said, heard, speaker, fields)."""
    references = [Reference(key, said, speaker, fields) for key, said, _, speaker, fields in rows]
    outputs = {key: heard for key, _, heard, _, _ in rows}
    return score_utterances(references, outputs, measured=measured).under_rules


def by_field(found):
    return {one.field: one for one in found}


def parts_of(breakdown):
    return {part.label: (part.utterances, part.word.counts.errors) for part in breakdown.parts}


ROWS = [
    ("u1", "a b", "a b", "ann", {"device": "phone", "lucky": True}),
    ("u2", "a b", "a x", "ann", {"device": "desk", "lucky": True}),
    ("u3", "c", "c", "ben", {"device": "phone"}),
    ("u4", "c d", "", "ben", {"device": "phone", "lucky": True}),
]


def test_every_value_of_a_field_has_its_own_counts():
    found = by_field(break_down(utterances(ROWS), cluster="speaker", seed=1))

    assert parts_of(found["speaker"]) == {"ann": (2, 1), "ben": (2, 2)}
    assert parts_of(found["device"]) == {"phone": (3, 2), "desk": (1, 1)}


def test_a_field_of_one_value_makes_no_parts():
    assert "lucky" not in by_field(break_down(utterances(ROWS), cluster="speaker", seed=1))


def test_a_field_that_names_every_utterance_makes_no_parts():
    rows = [(f"u{n}", "a", "a", "ann", {"file": f"{n}.wav"}) for n in range(6)]

    assert "file" not in by_field(break_down(utterances(rows), cluster="speaker", seed=1))


def test_what_lacks_a_field_is_counted():
    rows = [*ROWS, ("u5", "e", "e", "cal", {"lucky": False})]

    assert by_field(break_down(utterances(rows), cluster="speaker", seed=1))["device"].without == 1


def test_many_numbers_make_four_parts_of_as_many_utterances():
    rows = [(f"u{n:02}", "a", "a" if n < 12 else "x", None, {"age": n}) for n in range(16)]

    ages = by_field(break_down(utterances(rows), cluster="speaker", seed=1))["age"]

    assert parts_of(ages) == {
        "0 to 3": (4, 0),
        "4 to 7": (4, 0),
        "8 to 11": (4, 0),
        "12 to 15": (4, 4),
    }
    assert [part.middle for part in ages.parts] == [1.5, 5.5, 9.5, 13.5]


def test_what_was_measured_makes_parts_too():
    rows: list[tuple] = [(f"u{n:02}", "a", "a", None, {}) for n in range(16)]
    measured = {f"u{n:02}": Measured(duration=0.5 + n, level_range_db=30.0 + n) for n in range(16)}

    found = by_field(break_down(utterances(rows, measured=measured), cluster="speaker", seed=1))

    assert {"length, s", "speech rate, words/s", "level range, dB"} <= set(found)
    assert "confidence" not in found


def test_an_interval_draws_whole_clusters():
    rows = [
        (f"{speaker}{n}", "a b", "a b" if speaker == "ann" else "x y", speaker, {"room": "one"})
        for speaker in ("ann", "ben")
        for n in range(5)
    ]
    rows.append(("z", "a", "a", "cal", {"room": "two"}))

    room = by_field(break_down(utterances(rows), cluster="speaker", seed=1))["room"].parts[0]

    assert room.word.resampled_by == "speaker"
    assert room.word.interval == (0.0, 1.0)  # both of one kind can be drawn


@given(st.lists(st.floats(-1e3, 1e3), min_size=10, max_size=40, unique=True))
def test_ranges_hold_each_utterance_once(numbers):
    rows = [(f"u{n}", "a", "a", None, {"x": x}) for n, x in enumerate(numbers)]

    parts = by_field(break_down(utterances(rows), cluster="speaker", seed=1))["x"].parts

    assert sum(part.utterances for part in parts) == len(numbers)
    middles = [part.middle for part in parts]
    assert middles == sorted(middles)
    assert max(part.utterances for part in parts) <= -(-len(numbers) // 4) + 1


@pytest.mark.parametrize("count", [1, 2])
def test_few_utterances_are_no_mistake(count):
    rows: list[tuple] = [(f"u{n}", "", "", None, {}) for n in range(count)]

    assert break_down(utterances(rows), cluster="speaker", seed=1) == []
