import numpy as np
import pytest

from ctcasr.decoding import align, best_path, forced_align
from tests.oracles import best_path_by_enumeration, random_log_probs


def spans_of(path, *, blank):
    """First frame and last frame + 1 of every run of a label."""
    cuts = [t for t in range(1, len(path)) if path[t] != path[t - 1]]
    runs = zip([0, *cuts], [*cuts, len(path)], strict=True)
    return [(start, end) for start, end in runs if path[start] != blank]


@pytest.mark.parametrize("labels", [(), (1,), (1, 2), (1, 1), (2, 1, 2), (1, 1, 1), (1, 2, 2, 1)])
@pytest.mark.parametrize("blank", [0, 3])
@pytest.mark.parametrize("seed", range(3))
def test_alignment_is_the_best_of_all_paths_of_the_labels(labels, blank, seed):
    log_probs = random_log_probs(num_frames=6, num_symbols=4, seed=seed)
    path, _ = best_path_by_enumeration(log_probs, labels, blank=blank)

    assert forced_align(log_probs, labels, blank=blank) == spans_of(path, blank=blank)


def test_best_path_is_its_own_alignment():
    log_probs = random_log_probs(num_frames=60, num_symbols=5, seed=0, sharpness=3)
    found = best_path(log_probs, ["_", *"abc", " "])
    spans = forced_align(log_probs, found.labels)

    assert found.words[0].start == spans[0][0]
    assert found.words[-1].end in {end for _, end in spans}


def test_long_sequences_are_aligned_in_several_tables(monkeypatch):
    log_probs = random_log_probs(num_frames=12, num_symbols=3, seed=0)
    sequences = [(1,), (1, 2, 1), (), (2, 2)]
    together = align.align_all(log_probs, sequences, blank=0)

    monkeypatch.setattr(align, "_LARGEST_TABLE", 1)

    assert align.align_all(log_probs, sequences, blank=0) == together
    assert [len(spans) for spans in together] == [1, 3, 0, 2]


def test_the_shortest_alignable_input_has_one_way():
    log_probs = random_log_probs(num_frames=4, num_symbols=3, seed=0)

    assert forced_align(log_probs, (1, 1, 2)) == [(0, 1), (2, 3), (3, 4)]


def test_nothing_aligns_with_nothing():
    assert forced_align(np.zeros((0, 3)), ()) == []
    assert forced_align(random_log_probs(num_frames=3, num_symbols=3, seed=0), ()) == []


def test_too_few_frames_are_named():
    log_probs = random_log_probs(num_frames=3, num_symbols=3, seed=0)

    with pytest.raises(
        ValueError,
        match=r"3 frames cannot hold 3 labels with 1 adjacent repeats \(CTC needs 4 frames\)",
    ):
        forced_align(log_probs, (1, 1, 2))


@pytest.mark.parametrize("label", [0, 3, -1])
def test_a_label_without_a_column_of_its_own_is_named(label):
    log_probs = random_log_probs(num_frames=3, num_symbols=3, seed=0)

    with pytest.raises(
        ValueError, match=rf"label {label} cannot be aligned; .* \(0 to 2\), without"
    ):
        forced_align(log_probs, (label,))


def test_labels_of_probability_zero_are_named():
    log_probs = np.log([[0.5, 0.5], [0.5, 0.5]])
    log_probs = np.pad(log_probs, [(0, 0), (0, 1)], constant_values=-np.inf)

    with pytest.raises(ValueError, match=r"labels \(2,\) have probability zero"):
        forced_align(log_probs, (2,))


def test_a_vector_is_refused():
    with pytest.raises(ValueError, match=r"has shape \(3,\).*give \(time, labels\)"):
        forced_align(np.zeros(3), (1,))
