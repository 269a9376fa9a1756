import itertools
import math
import random
import shutil
import subprocess
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.decoding.arpa import read_arpa, write_arpa
from ctcasr.decoding.ngram_estimation import estimate_ngrams
from ctcasr.errors import LanguageModelError


def probability(model, history, word):
    """p(word | history), where the history may begin with <s>."""
    state = 0
    for said in history:
        state, _ = model.step(state, model.word_id(said))
    return math.exp(model.step(state, model.word_id(word))[1])


class KneserNey:
    """The formulas of interpolated modified Kneser-Ney, by dictionaries and recursion."""

    def __init__(self, sentences, *, order, prune, discounts):
        padded = [("<s>", *sentence, "</s>") for sentence in sentences]
        self.seen = Counter(
            sentence[at : at + size]
            for sentence in padded
            for size in range(1, order + 1)
            for at in range(len(sentence) - size + 1)
        )
        self.order, self.prune, self.discounts = order, prune, discounts
        self.predicted = {word for sentence in padded for word in sentence} - {"<s>"} | {"<unk>"}

    def count(self, ngram):
        if ngram == ("<s>",):
            return 0
        if len(ngram) == self.order or ngram[0] == "<s>":
            return self.seen[ngram]
        return sum((word, *ngram) in self.seen for word in self.predicted | {"<s>"})

    def discount(self, ngram):
        """How much of the count goes to shorter histories."""
        count = self.count(ngram)
        if len(ngram) > 1 and self.seen[ngram] <= self.prune[len(ngram) - 1]:
            return count
        return (0, *self.discounts[len(ngram) - 1])[min(count, 3)]

    def __call__(self, history, word):
        shorter = self(history[1:], word) if history else 1 / len(self.predicted)
        total = sum(self.count((*history, other)) for other in self.predicted)
        if total == 0:
            return shorter
        freed = sum(self.discount((*history, other)) for other in self.predicted)
        ngram = (*history, word)
        return (self.count(ngram) - self.discount(ngram)) / total + freed / total * shorter


@pytest.mark.parametrize(
    ("history", "word", "expected"),
    [
        # Of 4 pairs, a and b end one, </s> two; .5 + .5 + 1 of them are shared by four words.
        ([], "a", (1 - 0.5) / 4 + 0.5 / 4),
        ([], "b", (1 - 0.5) / 4 + 0.5 / 4),
        ([], "</s>", (2 - 1.0) / 4 + 0.5 / 4),
        ([], "<unk>", 0.5 / 4),
        (["<s>"], "a", (2 - 1.0) / 2 + 0.5 * 0.25),
        (["<s>"], "b", 0.5 * 0.25),
        (["a"], "b", (1 - 0.5) / 2 + 0.5 * 0.25),
        (["a"], "</s>", (1 - 0.5) / 2 + 0.5 * 0.375),
        (["a"], "<unk>", 0.5 * 0.125),
        (["b"], "</s>", (1 - 0.5) / 1 + 0.5 * 0.375),
    ],
)
def test_two_sentences_counted_by_hand(history, word, expected):
    estimate = estimate_ngrams([["a", "b"], ["a"]], order=2)

    assert not any(discounts.estimated for discounts in estimate.discounts)
    assert probability(estimate.model, history, word) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("history", "word", "expected"),
    [
        (["<s>"], "a", (2 - 1.0) / 2 + 0.5 * 0.25),  # seen twice: it stays
        (["a"], "b", 0.25),  # nothing after a stays
        (["a"], "</s>", 0.375),
        (["b"], "</s>", 0.375),
    ],
)
def test_pruning_counted_by_hand(history, word, expected):
    estimate = estimate_ngrams([["a", "b"], ["a"]], order=2, prune=[0, 1])

    assert estimate.num_ngrams == (5, 1)
    assert probability(estimate.model, history, word) == pytest.approx(expected, rel=1e-6)


def test_discounts_come_from_counts_of_counts():
    # With </s>: five words seen once, two seen twice, one three times, one four times.
    estimate = estimate_ngrams(["a b c d ee ff ggg hhhh".replace(" ", "")], order=1)

    assert estimate.discounts[0].estimated
    assert estimate.discounts[0].amounts == pytest.approx((5 / 9, 7 / 6, 7 / 9))


@pytest.mark.parametrize("text", ["abc", "aabbc", "aaabc", "abcddeeefff"])
def test_counts_of_counts_that_give_no_discounts_fall_back(text):
    discounts = estimate_ngrams([text], order=1).discounts[0]
    assert (discounts.amounts, discounts.estimated) == ((0.5, 1.0, 1.5), False)


small_texts = st.lists(
    st.lists(st.sampled_from("abcd"), max_size=5), min_size=1, max_size=7
).filter(any)
settings = st.integers(1, 4).flatmap(
    lambda order: st.tuples(
        st.just(order), st.lists(st.integers(0, 2), max_size=order - 1).map(sorted)
    )
)


@given(text=small_texts, setting=settings)
def test_probabilities_are_those_of_the_formulas(text, setting):
    order, thresholds = setting
    prune = [0, *thresholds]

    estimate = estimate_ngrams(text, order=order, prune=prune)

    order = max(estimate.model.order, min(order, max(map(len, text)) + 2))
    amounts = [discounts.amounts for discounts in estimate.discounts]
    oracle = KneserNey(
        text,
        order=order,
        prune=prune + [prune[-1]] * order,
        discounts=amounts + [(0.5, 1.0, 1.5)] * order,  # orders that were pruned away
    )
    said = sorted({word for sentence in text for word in sentence})
    for size in range(order):
        for history in itertools.product(["<s>", *said], repeat=size):
            if "<s>" in history[1:]:
                continue
            for word in [*said, "</s>", "<unk>"]:
                expected = oracle(history, word)
                assert probability(estimate.model, history, word) == pytest.approx(
                    expected, rel=1e-5
                )


@given(text=small_texts, setting=settings, vocabulary=st.one_of(st.none(), st.integers(1, 4)))
def test_probabilities_after_every_history_sum_to_one(text, setting, vocabulary):
    order, thresholds = setting
    model = estimate_ngrams(text, order=order, prune=[0, *thresholds], vocabulary=vocabulary).model
    for state in range(len(model.backoff)):
        each = [
            math.exp(model.step(state, word)[1])
            for word in range(len(model.words))
            if word != model.begin
        ]
        assert math.fsum(each) == pytest.approx(1, abs=1e-5)


def language(*, num_sentences, seed):
    """Sentences of a small made-up language: some words are frequent, and few follow each."""
    draw = random.Random(seed)
    words = [f"w{number}" for number in range(200)]
    followers = {word: [draw.choice(words) for _ in range(12)] for word in words}
    sentences = []
    for _ in range(num_sentences):
        word = words[min(int(draw.paretovariate(0.8)), 200) - 1]
        sentence = []
        for _ in range(draw.randint(1, 9)):
            sentence.append(word)
            word = followers[word][min(int(draw.paretovariate(0.7)), 12) - 1]
        sentences.append(sentence)
    return sentences


def test_a_text_of_some_size_estimates_its_discounts_and_sums_to_one():
    estimate = estimate_ngrams(
        language(num_sentences=600, seed=0), order=4, prune=[0, 0, 1], vocabulary=100
    )
    model = estimate.model

    assert [discounts.estimated for discounts in estimate.discounts] == [False, True, True, True]
    assert estimate.num_unknown > 0
    assert model.order == 4
    for state in range(0, len(model.backoff), 7):
        each = [math.exp(model.step(state, word)[1]) for word in range(len(model.words))]
        assert math.fsum(each) - each[model.begin] == pytest.approx(1, abs=1e-5)


def test_longer_histories_foresee_the_text_better():
    heard, unheard = language(num_sentences=800, seed=0), language(num_sentences=900, seed=0)[800:]
    nats = [
        -sum(model.log_prob(sentence).log_prob for sentence in unheard)
        for model in (estimate_ngrams(heard, order=order).model for order in (1, 2))
    ]
    assert nats[1] < 0.7 * nats[0]


def test_a_limited_vocabulary_keeps_the_most_frequent_words():
    estimate = estimate_ngrams([list("cabba"), list("dab")], order=2, vocabulary=3)

    assert estimate.model.words == ("<unk>", "<s>", "</s>", "a", "b", "c")
    assert (estimate.num_sentences, estimate.num_words, estimate.num_unknown) == (2, 8, 1)
    assert probability(estimate.model, ["<s>"], "<unk>") > probability(
        estimate.model, ["a"], "<unk>"
    )


def test_unk_in_the_text_is_an_unknown_word():
    estimate = estimate_ngrams([["a", "<unk>"], ["b", "a"]], order=2)
    assert estimate.num_unknown == 1
    assert estimate.model.words == ("<unk>", "<s>", "</s>", "a", "b")


def test_the_order_of_the_sentences_does_not_matter():
    text = language(num_sentences=50, seed=1)
    one, other = (estimate_ngrams(part, order=3).model for part in (text, text[::-1]))
    assert one.words == other.words
    assert np.array_equal(one.arc_log_prob, other.arc_log_prob)
    assert np.array_equal(one.backoff, other.backoff)


def test_no_sentence_is_longer_than_the_order_it_gives():
    assert estimate_ngrams([["a"], ["b"]], order=9).model.order == 3


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ([], {}, "the text has no words, so there is nothing to learn from it"),
        ([[], ["<unk>"]], {}, "the text has no words, so there is nothing to learn from it"),
        ([["a"], ["b", "</s>"]], {}, "sentence 2 of the text holds </s>, which the model adds"),
        ([["<s>", "a"]], {}, "sentence 1 of the text holds <s>, which the model adds"),
        ([["a b"]], {}, "the text has the word 'a b', but a word holds no white space"),
        ([[""]], {}, "the text has the word '', but a word holds no white space"),
        ([["a"]], {"order": 0}, "an n-gram order of 0; give at least 1"),
        ([["a"]], {"vocabulary": 0}, "a vocabulary of 0 words; give at least 1"),
        ([["a"]], {"prune": [0, 2, 1]}, "pruning 0,2,1: an n-gram must not stay where its history"),
        ([["a"]], {"prune": [-1, 0]}, "give numbers from 0 that do not fall, as in 0,0,1"),
        ([["a"]], {"prune": [1]}, "pruning 1: the first number is for single words; give 0"),
        ([["a"]], {"prune": [0, 0, 0, 0]}, "pruning 0,0,0,0 is for 4 orders of 3; give less"),
    ],
)
def test_what_cannot_be_estimated_is_refused(text, options, message):
    with pytest.raises(LanguageModelError) as raised:
        estimate_ngrams(text, **({"order": 3} | options))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("order", "prune", "vocabulary"), [(2, (), None), (3, (0, 0, 1), None), (5, (0, 1), 60)]
)
def test_kenlm_reads_the_file_and_finds_the_same(tmp_path, order, prune, vocabulary):
    kenlm = pytest.importorskip("kenlm", reason="kenlm is not installed (pip install kenlm)")
    text = language(num_sentences=400, seed=2)
    model = estimate_ngrams(text[50:], order=order, prune=prune, vocabulary=vocabulary).model
    write_arpa(tmp_path / "m.arpa", model)
    config = kenlm.Config()
    config.show_progress = False
    peer = kenlm.Model(str(tmp_path / "m.arpa"), config)

    for sentence in text[:100]:
        ours, state = [], model.start
        for word in [*sentence, "</s>"]:
            state, log_prob = model.step(state, model.word_id(word))
            ours.append(log_prob / math.log(10))
        theirs = list(peer.full_scores(" ".join(sentence)))
        assert ours == pytest.approx([log_prob for log_prob, _, _ in theirs], abs=1e-5)
        unknown = sum(is_unknown for _, _, is_unknown in theirs)
        assert model.log_prob(sentence).num_unknown == unknown


@pytest.mark.parametrize(("order", "prune"), [(1, ()), (2, ()), (3, ()), (4, (0, 0, 1, 2))])
def test_estimates_are_those_of_lmplz(tmp_path, order, prune):
    lmplz = shutil.which("lmplz")
    if lmplz is None:
        pytest.skip("lmplz is not on the PATH (it comes with a build of KenLM from source)")
    text = language(num_sentences=1000, seed=3)
    content = "".join(" ".join(sentence) + "\n" for sentence in text)
    peer_file = tmp_path / "peer.arpa"
    options = ["-o", str(order), "-S", "50M", "-T", tmp_path, "--discount_fallback"]
    options += ["--prune", *map(str, prune)] if prune else []
    subprocess.run(
        [lmplz, "--arpa", peer_file, *options],
        input=content.encode("utf-8"),
        capture_output=True,
        check=True,
    )
    ours = _listed(estimate_ngrams(text, order=order, prune=prune).model)
    theirs = _listed(read_arpa(peer_file))

    assert ours.keys() == theirs.keys()
    del ours[("<s>",)]  # -99 here, 0 there
    for ngram, weights in ours.items():
        assert weights == pytest.approx(theirs[ngram], abs=1e-5), ngram


def _listed(model):
    return {
        tuple(model.words[i] for i in row): weights
        for table in model.tables()
        for row, *weights in zip(
            table.ngrams.tolist(), table.log_prob.tolist(), table.backoff.tolist(), strict=True
        )
    }
