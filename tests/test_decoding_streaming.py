import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.decoding import PrefixBeamDecoder
from tests.oracles import random_log_probs
from tests.search_cases import random_case, random_frames

both = pytest.mark.parametrize("use_core", [None, False])


def chunks_of(log_probs, cuts):
    return np.split(log_probs, sorted(cut % (len(log_probs) + 1) for cut in cuts))


def decoder_and_frames(seed, use_core):
    """A random decoder, and frames that it can decode: with zeros, a lexicon may refuse some."""
    rng = np.random.default_rng(seed)
    case = random_case(rng)
    log_probs = random_frames(
        rng, num_frames=int(rng.integers(0, 10)), num_symbols=len(case.alphabet)
    )
    log_probs = np.logaddexp(log_probs, -12.0)
    return case.decoder(beam=int(rng.integers(1, 8)), use_core=use_core), log_probs


@both
@given(
    seed=st.integers(0, 10**6),
    cuts=st.lists(st.integers(0, 100), max_size=6),
    is_short=st.booleans(),
)
def test_however_frames_are_cut_the_result_is_that_of_decoding_at_once(
    use_core, seed, cuts, is_short
):
    decoder, log_probs = decoder_and_frames(seed, use_core)
    if is_short:
        log_probs = log_probs.astype(np.float32)
    stream = decoder.stream()
    for chunk in chunks_of(log_probs, cuts):
        stream.feed(chunk)

    found = stream.finish()

    assert found == decoder(log_probs)  # bit for bit: all floats are compared
    assert [one.words for one in found] == [one.words for one in decoder(log_probs)]


@both
@given(seed=st.integers(0, 10**6))
def test_what_is_stable_only_grows_and_begins_all_that_follows(use_core, seed):
    decoder, log_probs = decoder_and_frames(seed, use_core)
    stream = decoder.stream()
    stable = [stream.stable_labels]
    best = [stream.best.labels]
    for frame in log_probs:
        stream.feed(frame[None])
        stable.append(stream.stable_labels)
        best.append(stream.best.labels)

    for at, labels in enumerate(stable):
        for later in (*stable[at:], *best[at:]):
            assert later[: len(labels)] == labels
    assert stream.stable_text == decoder.alphabet.decode(stable[-1])


@both
@given(seed=st.integers(0, 10**6))
def test_the_best_midway_is_that_of_the_frames_so_far(use_core, seed):
    decoder, log_probs = decoder_and_frames(seed, use_core)
    stream = decoder.stream()
    for done in range(len(log_probs) + 1):
        assert stream.best == decoder(log_probs[:done])[0]
        if done < len(log_probs):
            stream.feed(log_probs[done : done + 1])


@both
def test_looking_or_feeding_nothing_changes_nothing(use_core):
    decoder = PrefixBeamDecoder("_ab", use_core=use_core)
    log_probs = random_log_probs(num_frames=6, num_symbols=3, seed=0)
    stream = decoder.stream()

    assert (stream.best.text, stream.stable_labels, stream.stable_text) == ("", (), "")
    assert stream.finish() == decoder(log_probs[:0])
    for frame in log_probs:
        stream.feed(frame[None])
        stream.feed(log_probs[:0])
        assert stream.finish() == stream.finish()
    assert stream.finish() == decoder(log_probs)


@both
def test_a_buffer_may_be_filled_again(use_core):
    decoder = PrefixBeamDecoder(["_", "a", "b", " "], use_core=use_core)
    log_probs = random_log_probs(num_frames=12, num_symbols=4, seed=1, sharpness=4)
    stream = decoder.stream()
    buffer = np.empty((3, 4))
    for at in range(0, 12, 3):
        buffer[:] = log_probs[at : at + 3]
        stream.feed(buffer)

    assert stream.best.words == decoder(log_probs)[0].words


@both
def test_streams_of_one_decoder_do_not_meet(use_core):
    decoder = PrefixBeamDecoder("_ab", use_core=use_core)
    items = [random_log_probs(num_frames=6, num_symbols=3, seed=seed) for seed in (1, 2)]
    streams = [decoder.stream(), decoder.stream()]
    for t in range(6):
        for stream, item in zip(streams, items, strict=True):
            stream.feed(item[t : t + 1])
    del decoder

    again = PrefixBeamDecoder("_ab", use_core=use_core)
    assert [stream.finish() for stream in streams] == [again(item) for item in items]


@both
def test_a_beam_of_one_is_all_stable(use_core):
    log_probs = random_log_probs(num_frames=9, num_symbols=3, seed=0)
    stream = PrefixBeamDecoder("_ab", beam=1, use_core=use_core).stream()
    stream.feed(log_probs)

    assert stream.stable_labels == stream.best.labels != ()


@both
def test_a_stream_that_meets_a_dead_end_says_so(use_core):
    stream = PrefixBeamDecoder("_ab", lexicon=["a"], use_core=use_core).stream()

    with pytest.raises(ValueError, match=r"^nothing that the lexicon allows has a probability"):
        stream.feed(np.array([[-np.inf, -np.inf, 0.0]]))
    assert stream.best.text == ""
