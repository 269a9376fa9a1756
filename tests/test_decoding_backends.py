"""The C++ search is the NumPy one, only faster."""

import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest

from ctcasr.decoding import PrefixBeamDecoder, backend
from ctcasr.decoding.backend import CoreContext, CoreSearcher, NumpySearcher, answer_fast
from tests.oracles import random_log_probs
from tests.search_cases import random_case, random_frames
from tests.waiting import watch

needs_core = pytest.mark.skipif(backend() != "C++", reason="installed without the C++ search")


def core_decoder():
    searcher = PrefixBeamDecoder("_ab")._searcher
    assert isinstance(searcher, CoreSearcher)
    return searcher._decoder


def outcome(decoder, log_probs):
    try:
        return decoder(log_probs)
    except ValueError as error:
        return str(error)


def assert_same(ours, theirs, what):
    """Equal but for the order of hypotheses that are equally good."""
    if isinstance(ours, str) or isinstance(theirs, str):
        assert ours == theirs, what
        return
    scores = [one.log_prob for one in ours]
    assert [one.log_prob for one in theirs] == pytest.approx(scores, abs=1e-9), what
    by_labels = {one.labels: one for one in theirs}
    for mine in ours:
        other = by_labels.get(mine.labels)
        if other is None:  # equally good as another one at the edge of the beam
            assert abs(mine.log_prob - scores[-1]) < 1e-9, what
            continue
        assert mine.log_prob == pytest.approx(other.log_prob, abs=1e-9), what
        assert mine.ctc_log_prob == pytest.approx(other.ctc_log_prob, abs=1e-9), what
    if ours[0].others_at_most is not None:
        assert ours[0].others_at_most == pytest.approx(theirs[0].others_at_most, abs=1e-9), what


@needs_core
def test_both_find_the_same_in_any_context():
    num_errors = 0
    for seed in range(1200):
        rng = np.random.default_rng(seed)
        case = random_case(rng)
        num_symbols = len(case.alphabet)
        log_probs = random_frames(rng, num_frames=int(rng.integers(0, 11)), num_symbols=num_symbols)
        if rng.random() < 0.3:
            log_probs = log_probs.astype(np.float32)
        search = {
            "beam": int(rng.choice([1, 2, 3, 5, 8, 40])),
            "threshold": float(rng.choice([0.0, 1e-6, 1e-2, 0.1])),
            "label_threshold": float(rng.choice([0.0, 0.0, 0.01, 1 / num_symbols])),
            "confidence": False,
        }
        found = outcome(case.decoder(**search), log_probs)
        num_errors += isinstance(found, str)

        assert_same(found, outcome(case.decoder(use_core=False, **search), log_probs), seed)
    assert num_errors < 60


@needs_core
def test_both_give_prefixes_the_same_worth():
    compared = forbidden = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        decoder = random_case(rng).decoder()
        context = decoder._worth.context
        fast = answer_fast(context)
        if context is None:
            continue
        assert isinstance(fast, CoreContext)
        state = context.start()
        assert fast.start() == state
        assert fast.unwritten == context.unwritten
        for label in rng.integers(len(decoder.alphabet), size=12).tolist():
            if label == decoder.alphabet.blank:
                continue
            after, worth = context.extend(state, label)
            again, same_worth = fast.extend(state, label)
            assert same_worth == pytest.approx(worth, abs=1e-9)
            if worth == -np.inf:
                forbidden += 1
                continue
            assert again == after
            assert fast.finish(after) == pytest.approx(context.finish(after), abs=1e-9)
            assert fast.gain(after) == context.gain(after)
            state, compared = after, compared + 1
    assert compared > 1000
    assert forbidden > 50


@needs_core
@pytest.mark.parametrize("num_symbols", [1, 2, 3, 30, 300])
def test_both_find_and_prove_the_same_without_context(num_symbols):
    labels = [f"{k}," for k in range(num_symbols)]
    for seed in range(600 // max(num_symbols, 4)):
        rng = np.random.default_rng(seed)
        log_probs = random_frames(rng, num_frames=int(rng.integers(0, 12)), num_symbols=num_symbols)
        search: dict[str, Any] = {
            "blank": int(rng.integers(num_symbols)),
            "beam": int(rng.choice([1, 2, 5, 20])),
            "threshold": float(rng.choice([0.0, 1e-3])),
            "certify": True,
        }

        ours = PrefixBeamDecoder(labels, **search)(log_probs)
        theirs = PrefixBeamDecoder(labels, use_core=False, **search)(log_probs)

        assert_same(ours, theirs, seed)


@needs_core
@pytest.mark.parametrize("beam", [1, 2, 3, 7])
@pytest.mark.parametrize("num_symbols", [2, 3, 70])
def test_ties_are_broken_alike(num_symbols, beam):
    labels = [f"{k}," for k in range(num_symbols)]
    uniform = np.full((8, num_symbols), -np.log(num_symbols))

    ours = PrefixBeamDecoder(labels, beam=beam)(uniform)
    theirs = PrefixBeamDecoder(labels, beam=beam, use_core=False)(uniform)

    assert [one.labels for one in ours] == [one.labels for one in theirs]


@pytest.mark.parametrize("use_core", [None, False])
@pytest.mark.parametrize(
    "view",
    [
        np.asfortranarray,
        lambda array: np.repeat(np.repeat(array, 2, axis=0), 3, axis=1)[::2, ::3],
        lambda array: array[::-1].copy()[::-1],
        lambda array: array.astype(">f8"),
        lambda array: np.lib.stride_tricks.as_strided(array, writeable=False),
        lambda array: array.tolist(),
    ],
    ids=["columns", "strided", "reversed", "big-endian", "read-only", "list"],
)
def test_memory_may_be_laid_out_in_any_way(view, use_core):
    log_probs = random_log_probs(num_frames=7, num_symbols=4, seed=3)
    decoder = PrefixBeamDecoder("_abc", use_core=use_core)

    assert decoder(view(log_probs)) == decoder(log_probs)


@pytest.mark.parametrize("use_core", [None, False])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_short_floats_are_searched_as_what_they_are_worth(dtype, use_core):
    log_probs = random_log_probs(num_frames=9, num_symbols=4, seed=3).astype(dtype)
    decoder = PrefixBeamDecoder("_abc", use_core=use_core)

    assert decoder(log_probs) == decoder(log_probs.astype(np.float64))


@pytest.mark.parametrize("use_core", [None, False])
@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros(3),
        np.zeros((2, 3, 3)),
        np.zeros((2, 4)),
        np.zeros((0, 4)),
        np.zeros((2, 0)),
        np.array([["a", "b", "c"]]),
        np.array([[None, None, None]]),
        np.zeros((2, 3), dtype=complex),
        np.full((2, 3), np.nan),
        np.full((2, 3), np.inf),
        np.full((2, 3), -np.inf),
        np.zeros((2, 3)),
        [[0.0], [0.0, 0.0]],
        3.0,
        None,
    ],
    ids=str,
)
def test_no_array_reaches_the_search_that_it_could_stumble_over(wrong, use_core):
    decoder = PrefixBeamDecoder("_ab", use_core=use_core)
    stream = decoder.stream()

    with pytest.raises(ValueError, match=r"log_probs|probabilities"):
        decoder(wrong)
    with pytest.raises(ValueError, match=r"log_probs|probabilities"):
        stream.feed(wrong)
    assert stream.best.text == ""


@needs_core
@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros(3, dtype=np.float32),
        np.zeros((2, 3, 3), dtype=np.float32),
        np.zeros((2, 3), dtype=complex),
        [[0.0, 0.0, 0.0]],
        None,
    ],
    ids=str,
)
def test_the_core_itself_takes_no_other_arrays(wrong):
    decoder = core_decoder()

    with pytest.raises(TypeError):
        decoder.stream().advance(wrong)


@needs_core
@pytest.mark.parametrize("num_symbols", [0, 1, 2, 4, 300])
def test_the_core_itself_refuses_another_number_of_symbols(num_symbols):
    decoder = core_decoder()
    wrong = np.zeros((2, num_symbols), dtype=np.float32)

    with pytest.raises(ValueError, match="the search has 3 symbols"):
        decoder.stream().advance(wrong)
    with pytest.raises(ValueError, match="the search has 3 symbols"):
        decoder.decode([wrong], count=1, certify=False, workers=1)


@needs_core
def test_the_core_itself_refuses_frames_that_it_has_not_searched():
    stream = core_decoder().stream()
    frames = random_log_probs(num_frames=5, num_symbols=3, seed=0)
    stream.advance(frames[:4])

    with pytest.raises(ValueError, match="5 frames but the search was given 4"):
        stream.found(frames, count=1)


@pytest.mark.parametrize("use_core", [None, False])
@pytest.mark.parametrize("workers", [2, 5, 1000])
def test_workers_change_nothing(workers, use_core):
    rng = np.random.default_rng(0)
    case = random_case(rng, kind="characters")
    batch = np.stack([random_log_probs(num_frames=12, num_symbols=4, seed=k) for k in range(9)])
    lengths = rng.integers(0, 13, size=len(batch))
    one = case.decoder(use_core=use_core)

    many = case.decoder(workers=workers, use_core=use_core)

    assert many(batch, lengths) == one(batch, lengths)
    assert many(batch, lengths) == [one(item[:n]) for item, n in zip(batch, lengths, strict=True)]
    assert many(batch[:0], []) == []


@pytest.mark.parametrize("use_core", [None, False])
@pytest.mark.parametrize("workers", [1, 3])
def test_an_item_that_fails_fails_the_batch_and_leaves_the_decoder_usable(workers, use_core):
    batch = np.log(np.full((6, 4, 3), 1 / 3))
    batch[3, 2] = [-np.inf, -np.inf, 0.0]  # nothing but "b", which is no word
    decoder = PrefixBeamDecoder("_ab", lexicon=["a"], workers=workers, use_core=use_core)

    for _ in range(3):
        with pytest.raises(ValueError, match=r"^item 3 of the batch: nothing that the lexicon"):
            decoder(batch, [4] * 6)
    assert [one[0].text for one in decoder(batch[:3], [4] * 3)] == ["a"] * 3


@needs_core
def test_other_threads_go_on_while_it_searches():
    log_probs = random_log_probs(num_frames=1500, num_symbols=60, seed=0, sharpness=0.3)
    decoder = PrefixBeamDecoder(
        [f"{k}," for k in range(60)], beam=300, threshold=0, nbest=1, confidence=False
    )
    stream = decoder.stream()
    for search in (lambda: decoder(log_probs), lambda: stream.feed(log_probs)):
        took, longest_wait = watch(search)

        assert took > 0.05  # long enough to notice
        assert longest_wait < 0.7 * took


def test_the_searcher_is_the_one_that_was_asked_for():
    default = PrefixBeamDecoder("_a")._searcher

    assert isinstance(default, CoreSearcher if backend() == "C++" else NumpySearcher)
    assert isinstance(PrefixBeamDecoder("_a", use_core=False)._searcher, NumpySearcher)


def run_without_core(code):
    blocked = "import sys\nsys.modules['ctcasr.decoding._core'] = None\n"
    return subprocess.run(
        [sys.executable, "-W", "default", "-c", blocked + textwrap.dedent(code)],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )


def test_without_the_core_numpy_searches_and_says_so_once():
    done = run_without_core(
        """
        import numpy as np
        from ctcasr.decoding import PrefixBeamDecoder, backend
        print(backend())
        log_probs = np.log([[0.6, 0.4], [0.6, 0.4]])
        for _ in range(3):
            print(PrefixBeamDecoder("_a")(log_probs)[0].text)
        decoder = PrefixBeamDecoder("_a", hotwords={"a": 2}, workers=4)
        print(decoder(log_probs[None], [2])[0][0].text)
        """
    )

    assert done.stdout.split() == ["NumPy", "a", "a", "a", "a"]
    assert done.stderr.count("RuntimeWarning") == 1
    assert "<string>:9: RuntimeWarning: ctcasr was installed without its C++ search" in done.stderr


def test_choosing_numpy_where_there_is_nothing_else_is_not_worth_a_word():
    done = run_without_core(
        """
        from ctcasr.decoding import PrefixBeamDecoder
        PrefixBeamDecoder("_a", use_core=False)
        """
    )

    assert done.stderr == ""
