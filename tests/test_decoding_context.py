import numpy as np
import pytest

from ctcasr.alphabet import Alphabet, Unit, build_alphabet
from ctcasr.decoding import NgramModel, PrefixBeamDecoder
from ctcasr.decoding.context import LmUnit, make_context
from ctcasr.errors import LanguageModelError
from tests.search_cases import LABELS, random_case

TINY = NgramModel.from_ngrams(
    2,
    {
        ("<s>",): (-99.0, -0.5),
        ("</s>",): (-1.0, 0.0),
        ("<unk>",): (-4.0, 0.0),
        ("a",): (-1.5, -0.25),
        ("ab",): (-2.0, 0.0),
        ("<s>", "a"): (-0.5, 0.0),
        ("a", "ab"): (-0.75, 0.0),
    },
)
SPELLER = Alphabet(("_", "a", "b", " "))


def total(context, labels):
    assert context is not None
    state, worth = context.start(), 0.0
    for label in labels:
        state, more = context.extend(state, label)
        worth += more
        if worth == -np.inf:
            return worth
    return worth + context.finish(state)


def worth_of(text, **settings):
    return total(make_context(SPELLER, **settings), SPELLER.encode(text))


@pytest.mark.parametrize("kind", list(LABELS))
def test_the_sum_over_labels_is_the_formula_over_words(kind):
    for seed in range(100):
        rng = np.random.default_rng(seed)
        case = random_case(rng, kind=kind)
        context = make_context_of(case)
        if context is None:
            continue
        symbols = [k for k in range(len(case.alphabet)) if k != case.alphabet.blank]
        for _ in range(12):
            labels = rng.choice(symbols, size=rng.integers(0, 9)).tolist()

            assert total(context, labels) == pytest.approx(case.worth(labels), abs=1e-9), (
                seed,
                case.alphabet.decode(labels),
            )


def make_context_of(case):
    settings = dict(case.settings)
    is_open = settings.pop("open_vocabulary", None)
    settings["lm_unit"] = LmUnit(settings.get("lm_unit", "word"))
    return make_context(case.alphabet, is_open=is_open, **settings)


def test_no_label_is_worth_more_than_was_foretold():
    for seed in range(120):
        rng = np.random.default_rng(seed)
        case = random_case(rng)
        context = make_context_of(case)
        if context is None:
            continue
        symbols = [k for k in range(len(case.alphabet)) if k != case.alphabet.blank]
        state = context.start()
        for label in rng.choice(symbols, size=12).tolist():
            most = context.gain(state)
            for other in symbols:
                assert context.extend(state, other)[1] <= most, seed
            state, worth = context.extend(state, label)
            if worth == -np.inf:
                break


def test_words_are_weighed_by_hand():
    said = -0.5 - 0.75 - 1.0  # <s> a, a ab, </s>

    worth = worth_of("a ab", lm=TINY, alpha=0.5, beta=2.0)

    assert worth == pytest.approx(0.5 * said + 2 * 2.0)


def test_an_unknown_word_costs_what_the_model_says_and_its_spelling():
    def worth(text, alpha=1.0):
        return worth_of(text, lm=TINY, alpha=alpha, unknown=-7.0)

    said = -0.5 - 4.0 - 1.0  # back-off of <s>, <unk>, </s>
    a, b = np.log([3 / 7, 2 / 7])  # of "a" and "ab", and each of four labels once more
    assert worth("b") == pytest.approx(said + b - 7.0)
    assert worth("bbbbbb") == pytest.approx(said + 6 * b - 7.0)
    assert worth("abba") == pytest.approx(said + 2 * a + 2 * b - 7.0)  # a word as far as "ab"
    assert worth("bb bb") == pytest.approx(said - 4.0 + 4 * b - 14.0)
    assert worth("bb bb", alpha=0.5) == pytest.approx(0.5 * (said - 4.0 + 4 * b) - 14.0)
    assert worth_of("a ab", lm=TINY) == worth_of("a ab", lm=TINY, unknown=-7.0)


def test_one_long_unknown_word_is_no_cheaper_than_the_words_that_were_said():
    alphabet = build_alphabet(["abcdefgh", "a b"])
    words = {"ab": -4.0, "cd": -4.0, "ef": -4.0, "gh": -4.0, "<unk>": -6.0}
    model = NgramModel.from_ngrams(1, {(word,): (weight, 0.0) for word, weight in words.items()})
    context = make_context(alphabet, lm=model, alpha=1.0)

    three, one = (total(context, alphabet.encode(text)) for text in ("ab cd ef", "abhcdhef"))

    assert three > one


def test_a_charge_that_no_float_could_give_back_is_still_given_back():
    model = NgramModel.from_ngrams(
        2,
        {
            ("a",): (-600.0, 0.0),
            ("b",): (-0.1, 0.0),
            ("b", "a"): (-0.1, 0.0),
        },
    )

    assert worth_of("b a", lm=model, alpha=3.0) == pytest.approx(-0.6)
    assert worth_of("a", lm=model, alpha=3.0) == pytest.approx(-1800.0)
    context = make_context(SPELLER, lm=model, alpha=3.0)
    assert context is not None
    assert context.charges.min() == -100.0


def test_spaces_make_no_words():
    assert worth_of("  a   ab ", lm=TINY, beta=1.0) == worth_of("a ab", lm=TINY, beta=1.0)


def test_the_look_ahead_charges_an_improbable_word_from_its_first_letter():
    context = make_context(SPELLER, lm=TINY, alpha=1.0, unknown=-7.0)
    assert context is not None

    _, first = context.extend(context.start(), 1)
    _, unlike_any = context.extend(context.start(), 2)

    assert first == pytest.approx(-1.5)  # "a" is the better of the words with a
    assert unlike_any == pytest.approx(-4.0 - 7.0 + np.log(2 / 7))


def test_where_labels_are_words_each_is_weighed():
    alphabet = Alphabet(("_", "a", "ab", "other"), unit=Unit.WORD)
    context = make_context(alphabet, lm=TINY, alpha=1.0, unknown=-7.0)

    assert total(context, [1, 2]) == pytest.approx(-0.5 - 0.75 - 1.0)
    assert total(context, [3]) == pytest.approx(-0.5 - 4.0 - 7.0 - 1.0)


def test_the_score_of_the_model_alone_is_that_of_its_own_query():
    log_probs = np.log(np.full((6, 4), 0.25))

    for found in PrefixBeamDecoder(SPELLER, lm=TINY, alpha=0.7)(log_probs):
        assert found.lm_log_prob == pytest.approx(TINY.log_prob(found.text.split()).log_prob)
    assert PrefixBeamDecoder(SPELLER, hotwords={"a": 1})(log_probs)[0].lm_log_prob is None


def test_a_model_without_an_end_ends_at_no_charge():
    model = NgramModel.from_ngrams(1, {("<unk>",): (-1.0, 0.0), ("a",): (-2.0, 0.0)})

    (best, *_) = PrefixBeamDecoder(SPELLER, lm=model)(np.log([[0.01, 0.97, 0.01, 0.01]]))

    assert (best.text, best.lm_log_prob) == ("a", -2.0)


def test_the_score_of_a_model_of_labels_is_that_of_its_labels():
    model = NgramModel.from_ngrams(
        2, {("<space>",): (-1.0, -0.5), ("a",): (-2.0, 0.0), ("<space>", "a"): (-0.25, 0.0)}
    )
    log_probs = np.log([[0.01, 0.97, 0.01, 0.01], [0.01, 0.01, 0.01, 0.97]])

    (best, *_) = PrefixBeamDecoder(SPELLER, lm=model, lm_unit="label", alpha=0)(log_probs)
    (unknown, *_) = PrefixBeamDecoder(SPELLER, lm=model, lm_unit="label", unknown=0)(
        np.log([[0.01, 0.01, 0.97, 0.01]])
    )

    assert (best.labels, best.lm_log_prob) == ((1, 3), -3.0)
    assert (unknown.text, unknown.lm_log_prob) == ("b", 0.0)  # it has no <unk>, so says nothing


def test_to_a_model_without_unk_an_unknown_word_is_as_improbable_as_its_rarest():
    model = NgramModel.from_ngrams(1, {("a",): (-2.0, 0.0), ("aa",): (-6.0, 0.0)})

    spelt = np.log(1 / 7)
    assert worth_of("b a", lm=model, alpha=1.0) == pytest.approx(-6.0 + spelt - 2.0)
    assert worth_of("b a", lm=model, alpha=1.0, unknown=-3.0) == pytest.approx(-11.0 + spelt)
    rare = NgramModel.from_ngrams(1, {("a",): (-2.0, 0.0), ("aa",): (-228.0, 0.0)})
    assert worth_of("b", lm=rare, alpha=1.0) == pytest.approx(-100.0 + spelt)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("alpha", -0.5, "alpha is -0.5; give a weight of 0 or more"),
        ("alpha", np.inf, "alpha is inf; give a weight of 0 or more"),
        ("alpha", np.nan, "alpha is nan; give a weight of 0 or more"),
        ("beta", np.nan, "beta is nan; give nats per word, from -100 to 100, as in 0.5"),
        ("beta", 101.0, "beta is 101.0; give nats per word, from -100 to 100, as in 0.5"),
        ("unknown", 1.0, "unknown is 1.0; give nats per unknown word, at most 0, as in -10"),
        ("unknown", -np.inf, "unknown is -inf; give nats per unknown word, at most 0, as in -10"),
        ("unknown", np.nan, "unknown is nan; give nats per unknown word, at most 0, as in -10"),
    ],
)
def test_weights_out_of_range_are_named(name, value, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        PrefixBeamDecoder(SPELLER, lm=TINY, **{name: value})
    assert str(caught.value) == message


def test_a_model_whose_words_cannot_be_spelt_is_refused():
    model = NgramModel.from_ngrams(1, {("A",): (-1.0, 0.0), ("AB",): (-1.0, 0.0)})

    with pytest.raises(LanguageModelError) as caught:
        PrefixBeamDecoder(SPELLER, lm=model)
    assert str(caught.value) == (
        "language model: the recognizer's labels can write none of its 2 words, such as 'A'; make "
        "a model of text in the recognizer's spelling and case"
    )


def test_a_model_with_logs_that_are_not_finite_is_refused():
    model = NgramModel.from_ngrams(1, {("a",): (-np.inf, 0.0)})

    with pytest.raises(ValueError, match="holds a log-probability that is not finite"):
        PrefixBeamDecoder(SPELLER, lm=model)


def test_a_lexicon_beside_a_model_of_labels_is_refused():
    with pytest.raises(ValueError, match="a lexicon needs a language model of words"):
        PrefixBeamDecoder(SPELLER, lm=TINY, lm_unit="label", lexicon=["a"])
