import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcasr.decoding import PrefixBeamDecoder, best_path, forced_align
from tests.oracles import (
    log_probs_by_enumeration,
    prefix_beam_by_dictionary,
    random_log_probs,
)

matrices = st.builds(
    random_log_probs,
    num_frames=st.integers(0, 12),
    num_symbols=st.integers(2, 5),
    seed=st.integers(0, 10_000),
    sharpness=st.sampled_from([0.3, 1.0, 4.0]),
)
beams = st.sampled_from([1, 2, 5, 16])


def letters(log_probs):
    return "_abcdefg"[: log_probs.shape[1]]


@pytest.mark.parametrize("blank", [0, 1, -1])
@pytest.mark.parametrize(("num_frames", "num_symbols"), [(1, 4), (4, 4), (6, 3), (6, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_is_the_sum_over_all_paths(num_frames, num_symbols, seed, blank):
    blank %= num_symbols
    log_probs = random_log_probs(num_frames=num_frames, num_symbols=num_symbols, seed=seed)
    expected = log_probs_by_enumeration(log_probs, blank=blank)
    decoder = PrefixBeamDecoder("abcd"[:num_symbols], blank=blank, beam=5000, threshold=0)

    found = {hypothesis.labels: hypothesis.log_prob for hypothesis in decoder(log_probs)}

    assert found.keys() == expected.keys()
    for labels, log_prob in expected.items():
        assert found[labels] == pytest.approx(log_prob, abs=1e-10)


@pytest.mark.parametrize("beam", [1, 2, 3, 8])
@pytest.mark.parametrize("seed", range(8))
def test_a_narrow_beam_keeps_what_growing_every_prefix_would_keep(seed, beam):
    log_probs = random_log_probs(num_frames=25, num_symbols=5, seed=seed)
    expected = dict(prefix_beam_by_dictionary(log_probs, beam=beam))

    found = PrefixBeamDecoder("_abcd", beam=beam, threshold=0)(log_probs)

    assert {hypothesis.labels for hypothesis in found} == set(expected)
    for hypothesis in found:  # which have all their paths in the end, not only those in the beam
        assert hypothesis.log_prob >= expected[hypothesis.labels] - 1e-10


def test_probabilities_of_zero_are_left_out():
    log_probs = np.array([[np.log(0.5), np.log(0.5), -np.inf], [-np.inf, 0.0, -np.inf]])

    found = PrefixBeamDecoder("_ab", threshold=0)(log_probs)

    assert [hypothesis.text for hypothesis in found] == ["a"]
    assert found[0].log_prob == pytest.approx(0.0, abs=1e-12)


def test_a_repeat_needs_a_blank_between():
    with_blank = np.log([[0.1, 0.9], [0.9, 0.1], [0.1, 0.9]])
    without = np.log([[0.1, 0.9], [0.1, 0.9], [0.1, 0.9]])
    decoder = PrefixBeamDecoder("_a", threshold=0)

    assert decoder(with_blank)[0].text == "aa"
    assert decoder(without)[0].text == "a"


def test_many_paths_of_one_text_beat_the_best_path():
    log_probs = np.log([[0.6, 0.4], [0.6, 0.4]])  # "a" by three paths: 0.64; "" by the best: 0.36

    assert best_path(log_probs, "_a").text == ""
    assert PrefixBeamDecoder("_a")(log_probs)[0].text == "a"
    assert PrefixBeamDecoder("_a")(log_probs)[0].log_prob == pytest.approx(np.log(0.64))


def test_long_input_does_not_underflow():
    log_probs = random_log_probs(num_frames=3000, num_symbols=5, seed=0)

    best = PrefixBeamDecoder("_abcd", beam=2)(log_probs)[0]

    assert np.isfinite(best.log_prob)
    assert best.log_prob < -1000


@settings(max_examples=40, deadline=None)
@given(log_probs=matrices, beam=beams)
def test_hypotheses_are_ordered_distinct_and_share_at_most_all_probability(log_probs, beam):
    found = PrefixBeamDecoder(letters(log_probs), beam=beam)(log_probs)

    scores = [hypothesis.log_prob for hypothesis in found]
    assert 1 <= len(found) <= beam
    assert scores == sorted(scores, reverse=True)
    assert len({hypothesis.labels for hypothesis in found}) == len(found)
    assert np.exp(scores).sum() <= 1 + 1e-9


@settings(max_examples=40, deadline=None)
@given(log_probs=matrices)
def test_best_path_is_one_path_of_a_text_that_cannot_beat_the_best(log_probs):
    path = best_path(log_probs, letters(log_probs))

    best = PrefixBeamDecoder(letters(log_probs), beam=64, threshold=0)(log_probs)[0]

    assert path.log_prob <= best.log_prob + 1e-9


@settings(max_examples=40, deadline=None)
@given(log_probs=matrices, beam=beams, at=st.floats(0, 1))
def test_a_frame_of_certain_blank_at_an_end_changes_nothing(log_probs, beam, at):
    blank_frame = np.full((1, log_probs.shape[1]), -np.inf)
    blank_frame[0, 0] = 0.0
    parts = [blank_frame, log_probs] if at < 0.5 else [log_probs, blank_frame]
    decoder = PrefixBeamDecoder(letters(log_probs), beam=beam)

    before, after = decoder(log_probs), decoder(np.concatenate(parts))

    assert [h.labels for h in after] == [h.labels for h in before]
    assert [h.log_prob for h in after] == pytest.approx([h.log_prob for h in before], abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(log_probs=matrices)
def test_the_default_threshold_keeps_the_best_text(log_probs):
    exact = PrefixBeamDecoder(letters(log_probs), threshold=0)(log_probs)[0]

    found = PrefixBeamDecoder(letters(log_probs))(log_probs)[0]

    assert found.log_prob == pytest.approx(exact.log_prob, abs=1e-3)


def test_a_threshold_drops_improbable_extensions():
    log_probs = np.log([[0.98, 0.02]])

    assert [h.text for h in PrefixBeamDecoder("_a", threshold=0.01)(log_probs)] == ["", "a"]
    assert [h.text for h in PrefixBeamDecoder("_a", threshold=0.03)(log_probs)] == [""]


def test_words_have_the_times_of_the_forced_alignment():
    log_probs = random_log_probs(num_frames=30, num_symbols=4, seed=1, sharpness=3)

    for found in PrefixBeamDecoder(["_", "a", "b", " "])(log_probs):
        spans = forced_align(log_probs, found.labels)
        for (_, first, stop), word in zip(
            PrefixBeamDecoder(["_", "a", "b", " "]).alphabet.word_spans(found.labels),
            found.words,
            strict=True,
        ):
            assert (word.start, word.end) == (spans[first][0], spans[stop - 1][1])
        assert [word.text for word in found.words] == found.text.split()


def test_output_does_not_depend_on_batch_neighbours():
    short = random_log_probs(num_frames=4, num_symbols=4, seed=1)
    long = random_log_probs(num_frames=9, num_symbols=4, seed=2)
    batch = np.full((3, 9, 4), np.nan)  # padding is never looked at
    batch[0, :4], batch[1] = short, long
    decoder = PrefixBeamDecoder("_abc")

    found = decoder(batch, [4, 9, 0])

    assert found == [decoder(short), decoder(long), decoder(np.zeros((0, 4)))]
    assert decoder(torch.from_numpy(batch), torch.tensor([4, 9, 0])) == found


def test_no_frames_give_one_empty_hypothesis():
    (found,) = PrefixBeamDecoder("_ab")(np.zeros((0, 3)))

    assert (found.text, found.log_prob, found.words) == ("", 0.0, ())


@pytest.mark.parametrize(
    ("shape", "lengths", "message"),
    [
        ((2, 5, 3), None, r"has shape \(2, 5, 3\) but there are 3 labels; give \(time, labels\)"),
        ((5, 3), [5], r"has shape \(5, 3\) and lengths \(1,\); give \(batch, time, labels\)"),
        ((2, 5, 3), [5], r"has shape \(2, 5, 3\) and lengths \(1,\)"),
        ((2, 5, 3), [5, 6], "lengths run from 5 to 6 but there are 5 frames"),
        ((2, 5, 4), [5, 5], r"has shape \(5, 4\) but there are 3 labels"),
    ],
)
def test_shapes_that_do_not_fit_are_named(shape, lengths, message):
    decoder = PrefixBeamDecoder("_ab")

    with pytest.raises(ValueError, match=message):
        decoder(np.full(shape, np.log(0.3)), lengths)


def test_settings_out_of_range_are_named():
    with pytest.raises(ValueError, match="beam is 0; give at least 1"):
        PrefixBeamDecoder("_a", beam=0)
    with pytest.raises(ValueError, match=r"threshold is 1\.0; give a share"):
        PrefixBeamDecoder("_a", threshold=1.0)
