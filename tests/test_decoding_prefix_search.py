import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcasr.decoding import (
    PrefixBeamDecoder,
    backend,
    best_path,
    core,
    forced_align,
    prefix_search,
)
from ctcasr.decoding.best_first import ctc_log_prob, search_best_first
from tests.oracles import log_prob_by_torch, log_probs_by_enumeration, random_log_probs
from tests.search_cases import random_frames

LETTERS = "_abcdefghijklmnopqrstuvwxyz"


def peaky_log_probs(*, num_frames, num_symbols, seed):
    """Spikes of 1-3 frames with rivals, among frames of nearly certain blank; blank is 0."""
    generator = np.random.default_rng(seed)
    probs = np.empty((0, num_symbols))
    while len(probs) < num_frames:
        spike = generator.dirichlet(np.full(num_symbols, 0.2)) * generator.uniform(0.01, 0.5)
        spike[generator.integers(1, num_symbols)] += 1 - spike.sum()
        rest = generator.dirichlet(np.full(num_symbols, 0.2), size=generator.integers(2, 8))
        rest *= generator.uniform(0.001, 0.1, size=(len(rest), 1))
        rest[:, 0] += 1 - rest.sum(axis=1)
        probs = np.concatenate([probs, np.tile(spike, (int(generator.integers(1, 4)), 1)), rest])
    return np.log(np.maximum(probs[:num_frames], 1e-12))


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0, 12.0])
@pytest.mark.parametrize(
    ("num_frames", "num_symbols"), [(1, 2), (8, 2), (1, 4), (2, 3), (5, 3), (7, 3), (5, 4), (4, 5)]
)
def test_the_best_of_all_labellings_is_found_and_proven(num_frames, num_symbols, sharpness):
    for seed in range(10):
        blank = seed % num_symbols
        log_probs = random_log_probs(
            num_frames=num_frames, num_symbols=num_symbols, seed=seed, sharpness=sharpness
        )
        expected = log_probs_by_enumeration(log_probs, blank=blank)

        found = prefix_search(log_probs, "abcde"[:num_symbols], blank=blank)

        assert found.is_proven
        assert (found.gap, found.num_sections, found.crossing) == (0.0, 1, 0.0)
        assert found.hypothesis.log_prob == pytest.approx(max(expected.values()), abs=1e-10)
        assert expected[found.hypothesis.labels] == pytest.approx(
            found.hypothesis.log_prob, abs=1e-10
        )


@settings(max_examples=60, deadline=None)
@given(
    num_frames=st.integers(1, 6),
    num_symbols=st.integers(2, 4),
    seed=st.integers(0, 10_000),
    max_work=st.integers(1, 60),
    threshold=st.sampled_from([None, 0.3, 0.6]),
)
def test_no_labelling_lies_above_the_upper_bound(
    num_frames, num_symbols, seed, max_work, threshold
):
    log_probs = random_log_probs(
        num_frames=num_frames, num_symbols=num_symbols, seed=seed, sharpness=2.0
    )
    expected = log_probs_by_enumeration(log_probs)

    found = prefix_search(
        log_probs, LETTERS[:num_symbols], max_work=max_work, section_threshold=threshold
    )

    assert found.upper_bound >= max(expected.values()) - 1e-9
    assert found.is_proven == (found.gap == 0.0)
    assert found.hypothesis.log_prob == pytest.approx(expected[found.hypothesis.labels], abs=1e-10)


def test_on_peaky_output_few_prefixes_are_opened_for_each_label_of_the_best():
    log_probs = peaky_log_probs(num_frames=300, num_symbols=20, seed=3)

    found = prefix_search(log_probs, LETTERS[:20])

    assert found.is_proven
    assert found.num_expanded <= 20 * len(found.hypothesis.labels)


@pytest.mark.parametrize("seed", range(6))
def test_a_proven_labelling_is_never_worse_than_the_beams(seed):
    log_probs = peaky_log_probs(num_frames=150, num_symbols=12, seed=seed)

    found = prefix_search(log_probs, LETTERS[:12])
    of_beam = PrefixBeamDecoder(LETTERS[:12], beam=64, threshold=0)(log_probs)

    assert found.is_proven
    for hypothesis in of_beam:
        assert log_prob_by_torch(log_probs, hypothesis.labels) <= found.hypothesis.log_prob + 1e-10
    if of_beam[0].labels == found.hypothesis.labels:
        assert log_prob_by_torch(log_probs, of_beam[0].labels) == pytest.approx(
            found.hypothesis.log_prob, abs=1e-10
        )


@pytest.mark.parametrize("seed", range(4))
def test_a_beam_that_drops_nothing_agrees(seed):
    log_probs = random_log_probs(num_frames=8, num_symbols=4, seed=seed, sharpness=3)

    found = prefix_search(log_probs, "_abc").hypothesis
    of_beam = PrefixBeamDecoder("_abc", beam=5_000, threshold=0)(log_probs)[0]

    assert found.labels == of_beam.labels
    assert found.log_prob == pytest.approx(of_beam.log_prob, abs=1e-10)
    times = [(word.text, word.start, word.end) for word in found.words]
    assert found.text == of_beam.text
    assert times == [(word.text, word.start, word.end) for word in of_beam.words]


def test_the_sum_over_paths_is_torchs():
    log_probs = random_log_probs(num_frames=40, num_symbols=5, seed=2)
    for labels in [(), (1,), (2, 2, 2), (1, 2, 3, 4, 4, 1, 1)]:
        assert ctc_log_prob(log_probs, labels, blank=0) == pytest.approx(
            log_prob_by_torch(log_probs, labels), abs=1e-10
        )


def test_many_paths_of_one_text_beat_the_best_path():
    log_probs = np.log([[0.6, 0.4], [0.6, 0.4]])  # "a" by three paths: 0.64; "" by the best: 0.36

    found = prefix_search(log_probs, "_a")

    assert found.hypothesis.text == "a"
    assert found.hypothesis.log_prob == pytest.approx(np.log(0.64), abs=1e-12)


def test_a_repeat_needs_a_blank_between():
    with_blank = np.log([[0.1, 0.9], [0.9, 0.1], [0.1, 0.9]])
    without = np.log([[0.1, 0.9], [0.1, 0.9], [0.1, 0.9]])

    assert prefix_search(with_blank, "_a").hypothesis.text == "aa"
    assert prefix_search(without, "_a").hypothesis.text == "a"


def test_of_equal_labellings_one_is_proven():
    log_probs = np.log(np.full((3, 4), 0.25))
    best = max(log_probs_by_enumeration(log_probs).values())

    found = prefix_search(log_probs, "_abc")

    assert found.is_proven
    assert found.hypothesis.log_prob == pytest.approx(best, abs=1e-10)


def test_probabilities_of_zero_are_left_out():
    log_probs = np.array([[np.log(0.5), np.log(0.5), -np.inf], [-np.inf, 0.0, -np.inf]])

    found = prefix_search(log_probs, "_ab")

    assert (found.is_proven, found.hypothesis.text) == (True, "a")
    assert found.hypothesis.log_prob == pytest.approx(0.0, abs=1e-12)


def test_no_frames_give_the_empty_labelling():
    found = prefix_search(np.zeros((0, 3)), "_ab")

    assert found.is_proven
    assert (found.hypothesis.text, found.hypothesis.log_prob, found.hypothesis.words) == ("", 0, ())


def test_a_blank_alone_says_nothing():
    found = prefix_search(np.full((50, 1), -1e-3), "_")

    assert (found.is_proven, found.hypothesis.labels) == (True, ())
    assert found.hypothesis.log_prob == pytest.approx(-0.05)


def test_thousands_of_frames_do_not_underflow():
    block = np.log([[0.7, 0.2, 0.1]] * 14 + [[0.2, 0.1, 0.7]])
    log_probs = np.tile(block, (200, 1))  # the best path has e^-1070

    found = prefix_search(log_probs, "_ab", max_work=1)

    assert -2_000 < found.hypothesis.log_prob < -100
    assert found.hypothesis.log_prob == pytest.approx(
        log_prob_by_torch(log_probs, found.hypothesis.labels), abs=1e-8
    )
    assert np.isfinite(found.gap)
    assert found.gap > 0


def test_the_limit_on_work_stops_the_search_and_says_so():
    log_probs = random_log_probs(num_frames=60, num_symbols=6, seed=0)

    short = prefix_search(log_probs, LETTERS[:6], max_work=1_000)
    longer = prefix_search(log_probs, LETTERS[:6], max_work=60_000)

    assert not short.is_proven
    assert short.hypothesis.log_prob <= longer.hypothesis.log_prob
    assert longer.upper_bound <= short.upper_bound
    assert 60 * short.num_expanded < 1_000 + 60 * 60  # the descent is at most one labelling
    assert 60 * longer.num_expanded <= 60_000 + 60 * 60


def test_words_have_the_times_of_the_forced_alignment():
    log_probs = random_log_probs(num_frames=15, num_symbols=4, seed=1, sharpness=4)
    labels = ["_", "a", "b", " "]

    found = prefix_search(log_probs, labels).hypothesis

    spans = forced_align(log_probs, found.labels)
    at = 0
    for word in found.words:
        first = found.text.index(word.text, at)
        at = first + len(word.text)
        assert (word.start, word.end) == (spans[first][0], spans[at - 1][1])
    assert [word.text for word in found.words] == found.text.split()
    assert found.words


def sectioned_input():
    """Three sections of noise between frames of nearly certain blank."""
    calm = np.log(np.array([[0.99996, 0.00002, 0.00002]]))
    parts = [random_log_probs(num_frames=3, num_symbols=3, seed=s, sharpness=2) for s in (1, 5, 8)]
    return np.concatenate([calm, parts[0], calm, calm, parts[1], calm, parts[2]]), parts


def test_sections_are_searched_one_by_one_and_joined():
    log_probs, parts = sectioned_input()
    each = [prefix_search(part, "_ab").hypothesis.labels for part in parts]

    found = prefix_search(log_probs, "_ab", section_threshold=0.9999)

    assert found.num_sections == 3
    assert found.hypothesis.labels == sum(each, ())
    assert found.hypothesis.log_prob == pytest.approx(
        log_prob_by_torch(log_probs, found.hypothesis.labels), abs=1e-10
    )


def test_what_crosses_sections_is_the_mass_that_they_did_not_see():
    log_probs, parts = sectioned_input()
    seen = sum(prefix_search(part, "_ab").hypothesis.log_prob for part in parts)
    seen += 4 * np.log(0.99996)

    found = prefix_search(log_probs, "_ab", section_threshold=0.9999)

    assert found.crossing > 0
    assert found.crossing == pytest.approx(found.hypothesis.log_prob - seen, abs=1e-10)


def test_sections_may_miss_the_best_labelling_and_say_by_how_much():
    # "a" is improbable on each side of the cut, but in sum it beats silence
    log_probs = np.log([[0.55, 0.45], [0.7, 0.3], [0.55, 0.45]])

    whole = prefix_search(log_probs, "_a")
    cut = prefix_search(log_probs, "_a", section_threshold=0.6)

    assert (whole.hypothesis.text, whole.is_proven) == ("a", True)
    assert (cut.hypothesis.text, cut.is_proven, cut.num_sections) == ("", False, 2)
    assert cut.upper_bound >= whole.hypothesis.log_prob - 1e-12


def test_nothing_to_cut_leaves_the_search_exact():
    log_probs = random_log_probs(num_frames=6, num_symbols=3, seed=0)

    found = prefix_search(log_probs, "_ab", section_threshold=0.9999)

    assert found == prefix_search(log_probs, "_ab")


def test_frames_of_blank_only_hold_no_section():
    log_probs = np.log(np.tile([[0.999, 0.001]], (3, 1)))

    found = prefix_search(log_probs, "_a", section_threshold=0.9)

    assert (found.hypothesis.labels, found.num_sections) == ((), 0)
    assert found.hypothesis.log_prob == pytest.approx(3 * np.log(0.999))


def test_an_alphabet_and_a_tensor_are_welcome():
    log_probs = random_log_probs(num_frames=8, num_symbols=4, seed=6, sharpness=3)

    found = prefix_search(torch.from_numpy(log_probs), PrefixBeamDecoder("_abc").alphabet)

    assert found == prefix_search(log_probs, "_abc")
    assert found.hypothesis.log_prob >= best_path(log_probs, "_abc").log_prob


@pytest.mark.parametrize(
    ("log_probs", "message"),
    [
        (np.zeros((4, 2)), r"has shape \(4, 2\) but there are 3 labels; give \(time, labels\)"),
        (np.full((4, 3), np.nan), "is NaN in frame 0"),
        (np.ones((4, 3)), "apply log_softmax to the network's output first"),
        (np.full((4, 3), -np.inf), "is -inf for all labels in frame 0"),
    ],
)
def test_what_is_no_matrix_of_log_probs_is_named(log_probs, message):
    with pytest.raises(ValueError, match=message):
        prefix_search(log_probs, "_ab")


def test_settings_out_of_range_are_named():
    with pytest.raises(ValueError, match="max_work is 0; give at least 1 frame of one prefix"):
        prefix_search(np.zeros((1, 2)), "_a", max_work=0)
    with pytest.raises(ValueError, match=r"section_threshold is 1\.0; give a probability, as 0"):
        prefix_search(np.zeros((1, 2)), "_a", section_threshold=1.0)


@pytest.mark.skipif(backend() != "C++", reason="installed without the C++ search")
@pytest.mark.parametrize("make", ["noise", "peaky", "zeros"])
def test_both_implementations_open_the_same_prefixes(make):
    for seed in range(12):
        num_symbols = 2 + seed % 7
        if make == "noise":
            log_probs = random_log_probs(num_frames=40, num_symbols=num_symbols, seed=seed)
        elif make == "peaky":
            log_probs = peaky_log_probs(num_frames=150, num_symbols=num_symbols, seed=seed)
        else:
            rng = np.random.default_rng(seed)
            log_probs = random_frames(rng, num_frames=12, num_symbols=num_symbols)
        log_probs = log_probs - log_probs.max(axis=1, keepdims=True)

        theirs = search_best_first(log_probs, blank=0, max_work=20_000)
        ours = core.compiled.search_best_first(log_probs, blank=0, max_work=20_000)

        assert ours is not None
        labels, value, bound, is_proven, num_opened = ours
        assert (tuple(labels), is_proven, num_opened) == (
            theirs.labels,
            theirs.is_proven,
            theirs.num_expanded,
        ), seed
        assert [value, bound] == pytest.approx([theirs.value, theirs.bound], abs=1e-9), seed


def test_frames_that_floats_cannot_hold_are_searched_all_the_same():
    log_probs = np.array([[-900.0, -900.0, 0.0], [-735.0, 0.0, -735.0]])

    found = prefix_search(log_probs, "_ab")

    assert found.is_proven
    assert found.hypothesis.labels == (2, 1)
