from pathlib import Path

import pytest

from ctcasr.bundle import find_model, load
from ctcasr.frontends.sound.waveform import probe_audio
from ctcasr.pipeline.demo import DEMO_MODEL, example_recordings, run_demo

CHECKOUT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden" / "demo.tsv"
MOST_BYTES = 5_000_000


@pytest.fixture(scope="module")
def heard():
    return list(run_demo(load(DEMO_MODEL, device="cpu")))


def test_the_speakers_of_the_examples_are_absent_from_training():
    trained_on = (CHECKOUT / "recipes/en_alnum/training_ids.txt").read_text("utf-8").splitlines()

    for example in example_recordings():
        corpus, _, speaker = (example.speaker or "").partition("/")
        # An AN4 id ends in its speaker: an4/an421-menk-b.
        assert corpus == "an4"
        assert len([i for i in trained_on if i.startswith("an4/")]) == 948
        assert not [item for item in trained_on if f"-{speaker}-" in item]
        assert example.id not in trained_on


def test_the_demo_hears_what_it_heard_when_the_model_was_made(heard):
    found = "".join(f"{item.utterance.id}\t{item.text}\n" for item in heard)

    assert found == GOLDEN.read_text("utf-8")


def test_the_demo_shows_at_least_one_error_as_it_is(heard):
    assert any(not item.is_right for item in heard)


def test_most_words_of_the_demo_are_right(heard):
    said = [word for item in heard for word in (item.utterance.text or "").split()]
    right = [word for item in heard for word in item.text.split() if word in said]

    assert len(right) > 0.7 * len(said)


def test_the_demo_states_the_length_of_each_recording(heard):
    for item in heard:
        duration = probe_audio(item.utterance.path).duration
        assert item.audio_seconds == pytest.approx(duration, abs=1e-3)


def test_the_built_in_model_is_small_enough_to_ship():
    assert find_model(DEMO_MODEL).stat().st_size < MOST_BYTES
