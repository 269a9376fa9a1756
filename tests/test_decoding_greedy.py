import numpy as np
import pytest
import torch

from ctcasr.alphabet import Alphabet, Unit
from ctcasr.decoding import Word, best_path
from tests.oracles import all_paths, collapse, random_log_probs


def log_probs_of(path, *, num_symbols, certain=0.9):
    """Frames in which each symbol of `path` has the probability `certain`."""
    probs = np.full((len(path), num_symbols), (1 - certain) / (num_symbols - 1))
    probs[np.arange(len(path)), path] = certain
    return np.log(probs)


@pytest.mark.parametrize("blank", [0, 1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_best_path_is_the_most_probable_of_all_paths(seed, blank):
    log_probs = random_log_probs(num_frames=5, num_symbols=3, seed=seed)
    path, score = max(all_paths(log_probs), key=lambda found: found[1])

    found = best_path(log_probs, "xyz", blank=blank)

    assert found.labels == collapse(path, blank=blank)
    assert found.log_prob == pytest.approx(score, abs=1e-12)
    assert found.ctc_log_prob == found.log_prob
    assert found.lm_log_prob is None


def test_words_have_the_frames_of_the_path():
    #       0  1  2  3  4  5  6  7  8  9
    path = [0, 1, 1, 0, 1, 3, 0, 2, 2, 0]

    found = best_path(log_probs_of(path, num_symbols=4), ["_", "a", "b", " "])

    assert found.text == "aa b"
    assert found.words == (Word("aa", 1, 5), Word("b", 7, 9))


def test_an_alphabet_brings_its_own_blank_and_unit():
    alphabet = Alphabet(("one", "two", "<blank>"), blank=2, unit=Unit.WORD)

    found = best_path(log_probs_of([0, 2, 1, 1], num_symbols=3), alphabet, blank=0)

    assert found.text == "one two"
    assert found.words == (Word("one", 0, 1), Word("two", 2, 4))


def test_no_frames_say_nothing_with_certainty():
    found = best_path(np.zeros((0, 3)), "_ab")

    assert (found.labels, found.text, found.log_prob, found.words) == ((), "", 0.0, ())


def test_only_blanks_say_nothing():
    found = best_path(log_probs_of([0, 0], num_symbols=3), "_ab")

    assert (found.text, found.words) == ("", ())
    assert found.log_prob == pytest.approx(2 * np.log(0.9))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_tensors_give_what_arrays_give(dtype):
    log_probs = random_log_probs(num_frames=20, num_symbols=4, seed=0, sharpness=4)
    tensor = torch.from_numpy(log_probs).to(dtype).requires_grad_()

    from_tensor = best_path(tensor, "_abc")

    assert from_tensor == best_path(tensor.detach().double().numpy(), "_abc")


def test_a_shape_that_does_not_fit_the_labels_is_named():
    log_probs = random_log_probs(num_frames=5, num_symbols=30, seed=0)
    labels = [chr(ord("A") + i) for i in range(29)]

    with pytest.raises(
        ValueError, match=r"has shape \(5, 30\) but there are 29 labels; give \(time"
    ):
        best_path(log_probs, labels)
    with pytest.raises(ValueError, match=r"has shape \(30,\)"):
        best_path(log_probs[0], labels)
    with pytest.raises(ValueError, match=r"has shape \(1, 5, 29\)"):
        best_path(log_probs[None, :, :29], labels)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "is NaN in frame 2"),
        (3.5, "reaches 3.5, but the log of a probability is at most 0; apply log_softmax"),
        (-np.inf, "is -inf for all labels in frame 2"),
    ],
)
def test_values_that_are_no_log_probs_are_named(value, message):
    log_probs = random_log_probs(num_frames=4, num_symbols=3, seed=0)
    log_probs[2] = value

    with pytest.raises(ValueError, match=message):
        best_path(log_probs, "_ab")
