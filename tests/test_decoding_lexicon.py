import numpy as np
import pytest

from ctcasr.alphabet import Alphabet, Unit, build_alphabet
from ctcasr.decoding import NgramModel, PrefixBeamDecoder
from ctcasr.decoding.context import make_context
from ctcasr.decoding.lexicon import OUTSIDE, ROOT, build_trie, read_lexicon, spell
from ctcasr.errors import LexiconError
from tests.oracles import random_log_probs

SPELLER = Alphabet(("_", "a", "b", " "))
PIECES = Alphabet(("_", "▁a", "▁ab", "b", "▁", "a"))


def texts(log_probs, labels="_ab ", **settings):
    return [found.text for found in PrefixBeamDecoder(labels, beam=500, **settings)(log_probs)]


def message_of(error, build, *args, **settings):
    with pytest.raises(error) as caught:
        build(*args, **settings)
    return str(caught.value)


def test_nothing_outside_a_closed_lexicon_is_said():
    words = {"ab", "b"}
    for seed in range(10):
        log_probs = random_log_probs(num_frames=7, num_symbols=4, seed=seed)

        found = texts(log_probs, lexicon=words, threshold=0)

        assert found
        assert {word for text in found for word in text.split()} <= words


def test_an_open_lexicon_says_all_that_there_is_and_charges_for_it():
    cost_of = {"a": np.log(2 / 7), "b": np.log(3 / 7)}  # in "ab" and "b", and four labels once more
    log_probs = random_log_probs(num_frames=5, num_symbols=4, seed=0)
    plain = {
        h.labels: h.log_prob for h in PrefixBeamDecoder("_ab ", beam=999, threshold=0)(log_probs)
    }
    decoder = PrefixBeamDecoder(
        "_ab ", beam=999, threshold=0, lexicon=["ab", "b"], open_vocabulary=True, unknown=-2.0
    )

    found = decoder(log_probs)

    assert {h.labels for h in found} == plain.keys()
    for hypothesis in found:
        unknown = [word for word in hypothesis.text.split() if word not in ("ab", "b")]
        spelling = sum(cost_of[letter] for word in unknown for letter in word)
        expected = plain[hypothesis.labels] - 2.0 * len(unknown) + spelling
        assert hypothesis.log_prob == pytest.approx(expected, abs=1e-10)


def test_a_text_that_breaks_off_inside_a_word_is_returned_where_nothing_else_is_left():
    certain_a = np.log([[0.01, 0.97, 0.01, 0.01]])

    (best, *_) = PrefixBeamDecoder("_ab ", lexicon=["ab"], beam=1)(certain_a)

    assert best.text == "a"  # "" is a text, but is no longer in the beam
    assert best.log_prob == pytest.approx(np.log(0.97))
    assert texts(certain_a, lexicon=["ab"])[0] == ""


def test_a_dead_end_is_an_error_that_names_the_item():
    only_b = np.log([[1e-300, 1e-300, 1.0, 1e-300]])
    only_b[only_b < -1] = -np.inf
    for use_core in (None, False):
        decoder = PrefixBeamDecoder("_ab ", lexicon=["a"], use_core=use_core)
        with pytest.raises(ValueError, match=r"^nothing that the lexicon allows has a probability"):
            decoder(only_b)
        with pytest.raises(ValueError, match=r"^item 1 of the batch: nothing that the lexicon"):
            decoder(np.stack([np.log(np.full((1, 4), 0.25)), only_b]), [1, 1])


def test_look_ahead_changes_no_total():
    model = NgramModel.from_ngrams(
        1, {("ab",): (-9.0, 0.0), ("b",): (-1.0, 0.0), ("<unk>",): (-3.0, 0.0)}
    )
    context = make_context(SPELLER, lm=model, alpha=1.0, unknown=-5.0)
    assert context is not None
    state, worth = context.start(), 0.0
    for label in SPELLER.encode("ab b"):
        state, more = context.extend(state, label)
        worth += more

    assert worth + context.finish(state) == pytest.approx(-10.0)


def test_a_word_may_be_spelt_in_several_ways():
    log_probs = random_log_probs(num_frames=6, num_symbols=4, seed=1)

    found = texts(log_probs, lexicon=["word a b", "word b b", "b"])

    assert {word for text in found for word in text.split()} == {"ab", "bb", "b"}


def test_a_file_is_read_line_by_line(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("\ufeffab\n\nb  b b\nab\tb\n", encoding="utf-8")

    assert read_lexicon(path, SPELLER) == {"ab": [(1, 2), (2,)], "b": [(2, 2)]}
    assert read_lexicon(str(path), SPELLER) == read_lexicon(["ab", "b b b", "ab b"], SPELLER)


def test_the_trie_knows_where_words_end():
    trie = build_trie({"ab": [(1, 2)], "a": [(1,)], "b": [(2,)]})

    a = trie.child(ROOT, 1)
    ab = trie.child(a, 2)
    assert [trie.words[trie.word[node]] for node in (a, ab, trie.child(ROOT, 2))] == [
        "a",
        "ab",
        "b",
    ]
    assert trie.child(ab, 1) == trie.child(ROOT, 3) == OUTSIDE
    best = trie.best_below(np.array([-1.0, -5.0, -3.0]))
    assert [best[node] for node in (ROOT, a, ab)] == [-1.0, -1.0, -1.0]


@pytest.mark.parametrize(
    ("word", "labels"),
    [("ab", (2,)), ("a", (1,)), ("aa", (1, 5)), ("abb", (2, 3)), ("b", (3,)), ("c", None)],
)
def test_a_plain_list_of_pieces_spells_with_the_fewest(word, labels):
    assert spell(PIECES, word) == labels  # the lone mark of a beginning is a space, and left out


@pytest.mark.parametrize("labels", [["<pad>", "<s>", "a", "b", " "], ["_", "aa", "a", "b", " "]])
def test_labels_of_several_letters_need_no_mark_of_beginnings(labels):
    assert spell(Alphabet(tuple(labels)), "ab") == (2, 3)


def test_learned_pieces_spell_as_their_model_does():
    alphabet = build_alphabet(["ab ba abab bab"] * 4, unit=Unit.SUBWORD, subwords=12)

    for word in ("ab", "ba", "abab", "bbb"):
        assert alphabet.decode(spell(alphabet, word) or ()) == word
        (found, *_) = PrefixBeamDecoder(alphabet, lexicon=[word])(certain(alphabet, word))
        assert found.text == word
    assert spell(alphabet, "c") is None


def certain(alphabet, word):
    """Frames that say a word, with a blank after each label."""
    frames = np.full((2 * len(alphabet.encode(word)), len(alphabet)), 1e-3)
    for at, label in enumerate(alphabet.encode(word)):
        frames[2 * at, label] = frames[2 * at + 1, alphabet.blank] = 1
    return np.log(frames / frames.sum(axis=1, keepdims=True))


def test_a_word_that_cannot_be_spelt_is_named():
    assert message_of(LexiconError, PrefixBeamDecoder, "_ab ", lexicon=["ab", "abc"]) == (
        "lexicon, line 2: 'abc' cannot be spelt; no label for 'c' (U+0063 LATIN SMALL LETTER C); "
        "take the word out, or spell it with the model's labels"
    )
    assert message_of(LexiconError, read_lexicon, ["ab a x"], SPELLER) == (
        "lexicon, line 1: 'ab' cannot be spelt; no label for 'x' (U+0078 LATIN SMALL LETTER X); "
        "take the word out, or spell it with the model's labels"
    )
    no_beginning = Alphabet(("_", "▁a", "b"))
    assert message_of(LexiconError, read_lexicon, ["b"], no_beginning).startswith(
        "lexicon, line 1: 'b' cannot be spelt; no label for '▁b' (U+2581 LOWER ONE EIGHTH BLOCK"
    )


def test_the_blank_spells_nothing():
    assert message_of(LexiconError, read_lexicon, ["ab a _ b"], SPELLER).startswith(
        "lexicon, line 1: 'ab' cannot be spelt; no label for '_' (U+005F LOW LINE)"
    )


def test_one_word_is_not_spelt_as_two():
    assert message_of(LexiconError, read_lexicon, ["ab", "aa ▁a ▁a"], PIECES) == (
        "lexicon, line 2: the labels of 'aa' begin a second word; give those of one word"
    )


@pytest.mark.parametrize("lexicon", [[], ["", "  "]])
def test_a_lexicon_without_words_is_refused(lexicon):
    assert message_of(LexiconError, PrefixBeamDecoder, "_ab ", lexicon=lexicon) == (
        "lexicon: no word in it; give one word a line"
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    missing = tmp_path / "missing.txt"
    assert message_of(LexiconError, PrefixBeamDecoder, "_ab ", lexicon=missing).startswith(
        f"{missing}: cannot be read as a UTF-8 list of words ("
    )
    latin = tmp_path / "latin.txt"
    latin.write_bytes("é\n".encode("latin-1"))
    assert message_of(LexiconError, PrefixBeamDecoder, "_ab ", lexicon=str(latin)).startswith(
        f"{latin}: cannot be read as a UTF-8 list of words ("
    )


def test_two_words_that_are_spelt_alike_are_refused():
    assert message_of(LexiconError, PrefixBeamDecoder, "_ab ", lexicon=["one a b", "two a b"]) == (
        "lexicon: 'one' and 'two' are spelt alike; labels cannot tell them apart, so keep one"
    )
