import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcasr.errors import ManifestError
from ctcasr.manifest import Utterance, parse_fractions, split_utterances


def items(groups, *, field="speaker", durations=None):
    """Return one item per entry of `groups`, ids u0, u1, ..."""
    utterances = []
    for number, group in enumerate(groups):
        duration = durations[number] if durations else None
        extra = {field: group} if field not in ("speaker", "group") else {}
        known = {field: group} if not extra else {}
        utterances.append(
            Utterance(id=f"u{number}", path=Path("a.wav"), duration=duration, extra=extra, **known)
        )
    return utterances


def cost(sizes, shares):
    """Return the sum of squared deviations from the sizes asked for."""
    total = sum(sizes)
    return sum((size - share * total) ** 2 for size, share in zip(sizes, shares, strict=True))


group_lists = st.lists(st.sampled_from("ABCDEFG"), min_size=3, max_size=40).filter(
    lambda groups: len(set(groups)) >= 3
)
shares = st.sampled_from([(0.8, 0.1, 0.1), (0.6, 0.2, 0.2), (0.9, 0.1), (0.5, 0.5)])


@settings(max_examples=100)
@given(groups=group_lists, fractions=shares, seed=st.integers(0, 5), data=st.data())
def test_every_item_is_in_one_part_and_every_group_too(groups, fractions, seed, data):
    utterances = items(groups)

    divided = split_utterances(utterances, fractions=fractions, by="speaker", seed=seed)

    assert list(divided) == ["train", "dev", "test"][: len(fractions)]
    assert all(divided.values())
    together = [utterance for part in divided.values() for utterance in part]
    assert sorted(u.id for u in together) == sorted(u.id for u in utterances)
    assert all(u.split == name for name, part in divided.items() for u in part)
    speakers = [{u.speaker for u in part} for part in divided.values()]
    assert all(a.isdisjoint(b) for a, b in itertools.combinations(speakers, 2))

    # the order of the items changes nothing but the order of the items
    shuffled = split_utterances(
        data.draw(st.permutations(utterances)), fractions=fractions, by="speaker", seed=seed
    )
    assert {name: {u.id for u in part} for name, part in shuffled.items()} == {
        name: {u.id for u in part} for name, part in divided.items()
    }


@settings(max_examples=100)
@given(
    durations=st.lists(st.floats(0.1, 100), min_size=3, max_size=9), fractions=shares,
    seed=st.integers(0, 5),
)  # fmt: skip
def test_no_move_and_no_exchange_would_come_closer(durations, fractions, seed):
    utterances = items([f"s{n}" for n in range(len(durations))], durations=durations)
    divided = split_utterances(utterances, fractions=fractions, by="speaker", seed=seed)
    parts = [[u.duration or 0.0 for u in part] for part in divided.values()]
    total = sum(durations)
    reached = cost([sum(part) for part in parts], fractions)

    if all(
        abs(sum(part) - share * total) <= 0.001 * total
        for part, share in zip(parts, fractions, strict=True)
    ):
        return
    for a, b in itertools.permutations(range(len(parts)), 2):
        back = [*parts[b], 0.0]
        for given_away, taken in itertools.product(parts[a], back):
            if taken == 0.0 and len(parts[a]) == 1:
                continue
            sizes = [math.fsum(part) for part in parts]
            sizes[a] += taken - given_away
            sizes[b] += given_away - taken
            assert cost(sizes, fractions) >= reached - 1e-9 * total**2


def test_sizes_are_measured_in_seconds_where_all_are_known_else_in_items():
    durations = [90.0] + [1.0] * 10
    utterances = items([f"s{n}" for n in range(11)], durations=durations)

    timed = split_utterances(utterances, fractions=(0.9, 0.1), by="speaker")
    untimed = split_utterances(
        items([f"s{n}" for n in range(10)]), fractions=(0.9, 0.1), by="speaker"
    )

    assert [u.id for u in timed["train"]] == ["u0"]
    assert [len(part) for part in untimed.values()] == [9, 1]


def test_single_items_are_divided_to_the_fraction_and_without_regard_to_length():
    durations = [1.0 + number % 50 for number in range(3000)]
    utterances = items(["same"] * 3000, durations=durations)

    divided = split_utterances(utterances, fractions=(0.8, 0.1, 0.1), by=None)

    total = sum(durations)
    for part, share in zip(divided.values(), (0.8, 0.1, 0.1), strict=True):
        seconds = [u.duration or 0.0 for u in part]
        assert sum(seconds) == pytest.approx(share * total, abs=0.0011 * total)
        assert sum(seconds) / len(seconds) == pytest.approx(total / 3000, rel=0.15)


def test_another_seed_gives_another_division_and_the_same_seed_the_same():
    utterances = items([f"s{n}" for n in range(20)])

    def division(seed):
        divided = split_utterances(utterances, fractions=(0.5, 0.5), by="speaker", seed=seed)
        return [u.id for u in divided["train"]]

    assert division(0) == division(0)
    assert len({tuple(division(seed)) for seed in range(5)}) == 5


def test_few_items_move_when_one_is_added():
    before = split_utterances(items(["x"] * 1000), fractions=(0.8, 0.1, 0.1), by=None)
    after = split_utterances(items(["x"] * 1001), fractions=(0.8, 0.1, 0.1), by=None)

    part_of = {u.id: name for name, part in after.items() for u in part}
    moved = sum(part_of[u.id] != name for name, part in before.items() for u in part)
    assert moved <= 4


@pytest.mark.parametrize("field", ["group", "dialect", "level"])
def test_any_field_can_be_what_is_kept_together(field):
    utterances = items([n % 4 if field == "level" else f"v{n % 4}" for n in range(16)], field=field)

    divided = split_utterances(utterances, fractions=(0.5, 0.25, 0.25), by=field)

    assert [len(part) for part in divided.values()] == [8, 4, 4]


def test_items_without_the_field_stay_together():
    utterances = items([None] * 5 + ["a"] * 5 + ["None"] * 5)

    divided = split_utterances(utterances, fractions=(0.5, 0.25, 0.25), by="speaker")

    assert sorted(len({u.speaker for u in part}) for part in divided.values()) == [1, 1, 1]


def test_impossible_divisions_are_named():
    with pytest.raises(ManifestError) as caught:
        split_utterances(items(["a", "b", "a"]), fractions=(0.8, 0.1, 0.1), by="speaker")
    assert str(caught.value) == (
        "cannot divide 2 speaker(s) into 3 parts without one standing in two; use fewer parts or "
        "divide by another field"
    )
    with pytest.raises(ManifestError) as caught:
        split_utterances(items(["a", "b"], field="dialect"), fractions=(0.5, 0.5), by="speaker")
    assert str(caught.value) == ("no item has the field 'speaker'; fields that items have: dialect")
    with pytest.raises(ManifestError, match="cannot divide 0 item"):
        split_utterances([], fractions=(0.5, 0.5), by=None)


@pytest.mark.parametrize(
    ("text", "fractions"),
    [
        ("80/10/10", (0.8, 0.1, 0.1)),
        ("90/10", (0.9, 0.1)),
        ("0.7/0.2/0.1", (0.7, 0.2, 0.1)),
        ("33.3/33.3/33.3", (1 / 3, 1 / 3, 1 / 3)),
    ],
)
def test_fractions_are_read_and_add_up_to_one(text, fractions):
    assert parse_fractions(text) == pytest.approx(fractions, abs=1e-12)
    assert math.fsum(parse_fractions(text)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("80/10", "adds up to 90%"), ("80,10,10", "not numbers"), ("", "not numbers"),
        ("100", "needs two shares"), ("100/0", "each above 0"), ("-10/110", "each above 0"),
        ("40/30/20/10", "needs two shares"), ("nan/50", "each above 0"),
    ],
)  # fmt: skip
def test_wrong_fractions_are_refused(text, found):
    with pytest.raises(ManifestError, match=found) as caught:
        parse_fractions(text)
    assert str(caught.value).startswith(f"--split {text}: ")
