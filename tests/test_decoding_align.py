import tracemalloc

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.decoding import align, backend, best_path, forced_align
from tests.oracles import best_path_by_enumeration, random_log_probs
from tests.waiting import watch

both = pytest.mark.parametrize("use_core", [None, False])
needs_core = pytest.mark.skipif(backend() != "C++", reason="installed without the C++ core")


def align_one(log_probs, labels, *, blank=0, use_core=None):
    return align.align_all(log_probs, [labels], blank=blank, use_core=use_core)[0]


def outcome(log_probs, labels, **how):
    try:
        return align_one(log_probs, labels, **how)
    except ValueError as error:
        return str(error)


def spans_of(path, *, blank):
    """First frame and last frame + 1 of every run of a label."""
    cuts = [t for t in range(1, len(path)) if path[t] != path[t - 1]]
    runs = zip([0, *cuts], [*cuts, len(path)], strict=True)
    return [(start, end) for start, end in runs if path[start] != blank]


@both
@pytest.mark.parametrize("labels", [(), (1,), (1, 2), (1, 1), (2, 1, 2), (1, 1, 1), (1, 2, 2, 1)])
@pytest.mark.parametrize("blank", [0, 3])
@pytest.mark.parametrize("seed", range(3))
def test_alignment_is_the_best_of_all_paths_of_the_labels(labels, blank, seed, use_core):
    log_probs = random_log_probs(num_frames=6, num_symbols=4, seed=seed)
    path, _ = best_path_by_enumeration(log_probs, labels, blank=blank)

    spans = align_one(log_probs, labels, blank=blank, use_core=use_core)
    assert spans == spans_of(path, blank=blank)


@needs_core
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_align_alike_where_paths_are_equal_and_where_there_is_none(dtype):
    num_errors = 0
    for seed in range(1_500):
        generator = np.random.default_rng(seed)
        num_frames, num_symbols = (int(n) for n in generator.integers((0, 2), (30, 6)))
        blank = int(generator.integers(num_symbols))
        log_probs = random_log_probs(
            num_frames=num_frames, num_symbols=num_symbols, seed=seed
        ).astype(dtype)
        if seed % 2:  # many paths are equally good
            log_probs = np.round(log_probs)
        log_probs[generator.random(log_probs.shape) < generator.choice([0.0, 0.1])] = -np.inf
        symbols = [symbol for symbol in range(num_symbols) if symbol != blank]
        labels = generator.choice(symbols, size=generator.integers(0, 12)).tolist()

        ours = outcome(log_probs, labels, blank=blank)

        assert ours == outcome(log_probs, labels, blank=blank, use_core=False), seed
        num_errors += isinstance(ours, str)
    assert 0 < num_errors < 900


@both
@pytest.mark.parametrize("blank", [0, 4])
@pytest.mark.parametrize("seed", range(25))
def test_alignment_agrees_with_torchaudio(blank, seed, use_core):
    generator = np.random.default_rng(seed)
    log_probs = random_log_probs(num_frames=40, num_symbols=5, seed=seed)
    symbols = [symbol for symbol in range(5) if symbol != blank]
    labels = generator.choice(symbols, size=generator.integers(1, 16))

    # No ties: equal scores of two paths of random float64 numbers do not happen.
    path, _ = torchaudio.functional.forced_align(
        torch.from_numpy(log_probs)[None], torch.from_numpy(labels)[None], blank=blank
    )

    spans = align_one(log_probs, labels.tolist(), blank=blank, use_core=use_core)
    assert spans == spans_of(path[0].tolist(), blank=blank)


@both
@given(
    seed=st.integers(0, 1000),
    block=st.integers(1, 40),
    labels=st.lists(st.lists(st.integers(1, 3), max_size=15), min_size=1, max_size=3),
)
def test_the_size_of_a_block_changes_nothing(use_core, seed, block, labels):
    log_probs = random_log_probs(num_frames=32, num_symbols=4, seed=seed)
    whole = align.align_all(log_probs, labels, blank=0, use_core=use_core)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(align, "_BLOCK", block)
        assert align.align_all(log_probs, labels, blank=0, use_core=use_core) == whole


def test_long_recordings_need_a_fraction_of_the_table():
    num_frames, num_labels = 6_000, 2_500
    log_probs = random_log_probs(num_frames=num_frames, num_symbols=4, seed=0)
    labels = [1 + k % 3 for k in range(num_labels)]
    tracemalloc.start()  # sees NumPy's memory, not that of C++

    spans = align_one(log_probs, labels, use_core=False)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(spans) == num_labels
    assert peak < num_frames * (2 * num_labels + 1) / 4
    assert forced_align(log_probs, labels) == spans


@needs_core
def test_other_threads_go_on_while_it_aligns():
    log_probs = random_log_probs(num_frames=8_000, num_symbols=4, seed=0)
    labels = [1 + k % 3 for k in range(3_900)]
    took, longest_wait = watch(lambda: forced_align(log_probs, labels))

    assert took > 0.02  # long enough to notice
    assert longest_wait < 0.7 * took


def test_best_path_is_its_own_alignment():
    log_probs = random_log_probs(num_frames=60, num_symbols=5, seed=0, sharpness=3)
    found = best_path(log_probs, ["_", *"abc", " "])
    spans = forced_align(log_probs, found.labels)

    assert found.words[0].start == spans[0][0]
    assert found.words[-1].end in {end for _, end in spans}


def test_long_sequences_are_aligned_in_several_tables(monkeypatch):
    log_probs = random_log_probs(num_frames=12, num_symbols=3, seed=0)
    sequences = [(1,), (1, 2, 1), (), (2, 2)]
    together = align.align_all(log_probs, sequences, blank=0, use_core=False)

    monkeypatch.setattr(align, "_LARGEST_TABLE", 1)

    assert align.align_all(log_probs, sequences, blank=0, use_core=False) == together
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


@both
def test_labels_of_probability_zero_are_named(use_core):
    log_probs = np.log([[0.5, 0.5], [0.5, 0.5]])
    log_probs = np.pad(log_probs, [(0, 0), (0, 1)], constant_values=-np.inf)

    with pytest.raises(ValueError, match=r"labels \(2,\) have probability zero"):
        align_one(log_probs, (2,), use_core=use_core)


@needs_core
@pytest.mark.parametrize(
    ("labels", "blank", "block"),
    [([3], 0, 9), ([-1], 0, 9), ([1], 3, 9), ([1], -1, 9), ([1], 0, 0)],
)
def test_the_core_itself_reads_nothing_beyond_its_columns(labels, blank, block):
    from ctcasr.decoding import core

    log_probs = random_log_probs(num_frames=3, num_symbols=3, seed=0)
    wanted = np.array(labels, dtype=np.int32)

    with pytest.raises(ValueError, match="column"):
        core.compiled.align(log_probs, wanted, blank=blank, block=block)


def test_a_vector_is_refused():
    with pytest.raises(ValueError, match=r"has shape \(3,\).*give \(time, labels\)"):
        forced_align(np.zeros(3), (1,))
