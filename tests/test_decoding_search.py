import numpy as np
import pytest

from ctcasr.decoding import NgramModel, PrefixBeamDecoder
from tests.oracles import log_probs_by_enumeration
from tests.search_cases import LABELS, random_case, random_frames


def enumerate_scores(case, log_probs):
    """Score of every labelling that may be said, best first."""
    scores = {
        labels: log_prob + case.worth(labels)
        for labels, log_prob in log_probs_by_enumeration(
            log_probs, blank=case.alphabet.blank
        ).items()
        if log_prob > -np.inf
    }
    return {labels: score for labels, score in scores.items() if score > -np.inf}


@pytest.mark.parametrize("use_core", [None, False])
@pytest.mark.parametrize("kind", list(LABELS))
def test_a_wide_beam_finds_what_enumerating_all_labellings_finds(kind, use_core):
    num_compared = 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        case = random_case(rng, kind=kind)
        if case.settings["unknown"] == -200.0:  # below the rounding of its rivals' masses
            case.settings["unknown"] = -20.0
        log_probs = random_frames(
            rng, num_frames=int(rng.integers(0, 6)), num_symbols=len(case.alphabet)
        )
        expected = enumerate_scores(case, log_probs)
        decoder = case.decoder(beam=5000, threshold=0, use_core=use_core)
        if not expected:
            continue
        found = {one.labels: one.log_prob for one in decoder(log_probs)}

        assert found.keys() == expected.keys(), seed
        for labels, score in expected.items():
            assert found[labels] == pytest.approx(score, abs=1e-10), (seed, labels)
        num_compared += len(found)
    assert num_compared > 1000


@pytest.mark.parametrize("use_core", [None, False])
def test_hypotheses_come_best_first_and_no_more_than_asked_for(use_core):
    rng = np.random.default_rng(0)
    for _ in range(20):
        case = random_case(rng)
        log_probs = random_frames(rng, num_frames=6, num_symbols=len(case.alphabet))
        try:
            everything = case.decoder(beam=30, use_core=use_core)(log_probs)
        except ValueError:
            continue
        scores = [one.log_prob for one in everything]
        few = case.decoder(beam=30, nbest=3, confidence=False, use_core=use_core)(log_probs)

        assert scores == sorted(scores, reverse=True)
        assert [one.labels for one in few] == [one.labels for one in everything[:3]]
        assert len({one.labels for one in everything}) == len(everything)


@pytest.mark.parametrize("use_core", [None, False])
def test_no_prefix_is_extended_by_a_label_below_its_threshold(use_core):
    log_probs = np.log([[0.4, 0.35, 0.25], [0.5, 0.2, 0.3]])

    def texts(label_threshold):
        decoder = PrefixBeamDecoder(
            "_ab", threshold=0, label_threshold=label_threshold, use_core=use_core
        )
        return {one.text: one.log_prob for one in decoder(log_probs)}

    assert texts(0.0).keys() == {"", "a", "b", "ab", "ba"}
    assert texts(0.25).keys() == {"", "a", "b", "ab"}  # a threshold itself is not below it
    assert texts(0.26).keys() == {"", "a", "b", "ab"}
    assert texts(0.31).keys() == {"", "a"}
    assert texts(0.31)["a"] == pytest.approx(np.log(0.325))  # what is there still grows


@pytest.mark.parametrize("use_core", [None, False])
def test_no_frames_leave_the_end_of_the_text(use_core):
    model = NgramModel.from_ngrams(1, {("a",): (-1.0, 0.0), ("</s>",): (-2.0, 0.0)})
    nothing = np.zeros((0, 4))

    for settings in ({}, {"lm": model}, {"lexicon": ["a"]}, {"hotwords": {"a": 1.0}}):
        (found,) = PrefixBeamDecoder("_ab ", alpha=0.5, use_core=use_core, **settings)(nothing)

        assert found.labels == ()
        assert found.log_prob == (-1.0 if "lm" in settings else 0.0)
        assert found.ctc_log_prob == 0.0
        assert found.words == ()


@pytest.mark.parametrize("use_core", [None, False])
@pytest.mark.parametrize("nats", [100.0, 700.0, 715.0, 740.0])
def test_all_that_a_lexicon_allows_may_be_nearly_impossible(nats, use_core):
    """Down to the last numbers above zero, of which 1 / x is no number any more."""
    frames = np.full((3, 3), -np.inf)
    frames[:, 2], frames[[0, 1, 2], [1, 0, 1]] = 0.0, -nats

    (found,) = PrefixBeamDecoder("_ab", lexicon=["aa"], use_core=use_core)(frames)

    assert found.text == "aa"
    assert found.log_prob == pytest.approx(-3 * nats, rel=1e-3)


@pytest.mark.parametrize("use_core", [None, False])
def test_a_blank_alone_says_nothing(use_core):
    (found,) = PrefixBeamDecoder(["_"], use_core=use_core)(np.zeros((3, 1)))

    assert (found.text, found.log_prob) == ("", 0.0)


@pytest.mark.parametrize("use_core", [None, False])
def test_a_narrow_beam_never_claims_more_than_the_truth(use_core):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        case = random_case(rng)
        log_probs = random_frames(rng, num_frames=5, num_symbols=len(case.alphabet))
        truth = log_probs_by_enumeration(log_probs, blank=case.alphabet.blank)
        try:
            found = case.decoder(beam=3, use_core=use_core)(log_probs)
        except ValueError:
            continue

        for one in found:
            assert one.ctc_log_prob <= truth[one.labels] + 1e-9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam": 2.5}, "beam is 2.5; give a whole number"),
        ({"beam": 2**40}, "beam is 1099511627776; give at most 2147483647"),
        ({"nbest": 0}, "nbest is 0; give at least 1"),
        ({"workers": -1}, "workers is -1; give at least 1"),
        ({"threshold": np.nan}, "threshold is nan; give a share from 0 (exact) to below 1"),
        ({"threshold": -0.1}, "threshold is -0.1; give a share from 0 (exact) to below 1"),
        (
            {"label_threshold": 1.0},
            "label_threshold is 1.0; give a share from 0 (exact) to below 1",
        ),
    ],
)
def test_settings_that_cannot_be_are_named(settings, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        PrefixBeamDecoder("_ab", **settings)
    assert str(caught.value) == message


@pytest.mark.parametrize("lengths", [[np.nan], [1.5], [np.inf], [-1], [3]])
def test_lengths_that_cannot_be_are_refused(lengths):
    with pytest.raises(ValueError, match=r"^lengths "):
        PrefixBeamDecoder("_a")(np.log(np.full((1, 2, 2), 0.5)), lengths)


def test_an_item_that_cannot_be_is_named_by_its_number():
    batch = np.log(np.full((2, 3, 2), 0.5))
    batch[1, 2, 0] = np.nan

    with pytest.raises(ValueError, match=r"^item 1 of the batch: log_probs is NaN in frame 2"):
        PrefixBeamDecoder("_a")(batch, [3, 3])


def test_the_text_of_a_plain_list_of_pieces_has_spaces():
    log_probs = np.log(
        [[0.01, 0.97, 0.01, 0.01], [0.01, 0.01, 0.01, 0.97], [0.01, 0.01, 0.97, 0.01]]
    )

    best = PrefixBeamDecoder(["_", "▁a", "▁b", "c"])(log_probs)[0]

    assert best.text == "ac b"
    assert [word.text for word in best.words] == ["ac", "b"]
