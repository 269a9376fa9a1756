"""The search that settings ask for: found, checked, described, refused."""

import gzip
import hashlib

import numpy as np
import pytest

from ctcasr.alphabet import Alphabet, Unit
from ctcasr.decode_config import DecodeConfig
from ctcasr.decoder import ModelPart, TextDecoder, read_sources
from ctcasr.decoding import PrefixBeamDecoder, best_path, estimate_ngrams, write_arpa
from ctcasr.errors import ConfigError, HotwordError, LanguageModelError, LexiconError

ALPHABET = Alphabet(("<blank>", " ", "a", "b"))
SENTENCES = [["ab", "ba"], ["ab"], ["ab", "ab", "b"]]


@pytest.fixture
def arpa(tmp_path):
    write_arpa(tmp_path / "words.arpa", estimate_ngrams(SENTENCES, order=2).model)
    return tmp_path / "words.arpa"


@pytest.fixture
def lexicon(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("ab\nba\n", encoding="utf-8")
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make(decode, parts=None, *, alphabet=ALPHABET, **options):
    return TextDecoder(decode, alphabet, read_sources(decode, parts or {}), **options)


def items(*lengths, seed=0):
    random = np.random.default_rng(seed)
    rows = [random.normal(scale=2, size=(length, 4)) for length in lengths]
    return [np.log(np.exp(r) / np.exp(r).sum(1, keepdims=True)).astype(np.float32) for r in rows]


def facts(hypothesis):
    words = [(word.text, word.start, word.end, word.confidence) for word in hypothesis.words]
    return (hypothesis.text, hypothesis.log_prob, hypothesis.confidence, words)


# What it finds


def test_settings_reach_the_search(arpa, lexicon):
    decode = DecodeConfig(
        beam=8,
        threshold=0,
        label_threshold=1e-3,
        nbest=3,
        lm=str(arpa),
        lexicon=str(lexicon),
        open_vocabulary=True,
        hotwords={"ba ab": 2.0},
        alpha=0.7,
        beta=1.5,
        unknown=-3,
    )
    search = PrefixBeamDecoder(
        ALPHABET,
        beam=8,
        threshold=0,
        label_threshold=1e-3,
        nbest=3,
        lm=arpa,
        lexicon=lexicon,
        open_vocabulary=True,
        hotwords={"ba ab": 2.0},
        alpha=0.7,
        beta=1.5,
        unknown=-3,
    )
    given = items(9, 0, 14, 5)

    for workers in (1, 3):
        found = make(decode, workers=workers)(given)
        for hypotheses, item in zip(found, given, strict=True):
            assert list(map(facts, hypotheses)) == list(map(facts, search(item)))


def test_without_a_beam_it_is_the_best_path():
    (item,) = items(9)
    decoder = make(DecodeConfig())

    ((found,),) = decoder([item])
    assert (found.text, found.log_prob) == (
        best_path(item, ALPHABET).text,
        best_path(item, ALPHABET).log_prob,
    )
    assert found.confidence is None
    assert decoder([]) == make(DecodeConfig(beam=4))([]) == []


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_what_lies_in_the_model_is_what_lies_in_a_file(arpa, lexicon, pack):
    inside = DecodeConfig(lm="embedded", lexicon="embedded")
    parts = {
        "lm": ModelPart("words.arpa", "0" * 64, pack(arpa.read_bytes())),
        "lexicon": ModelPart("words.txt", "1" * 64, lexicon.read_bytes()),
    }
    given = items(12, 7)

    apart = make(DecodeConfig(lm=str(arpa), lexicon=str(lexicon)))(given)
    together = make(inside, parts)(given)

    assert [[facts(h) for h in found] for found in apart] == [
        [facts(h) for h in found] for found in together
    ]


# What it says of itself


def test_the_description_has_all_that_decides(arpa, lexicon):
    assert make(DecodeConfig()).description == {"search": "best_path"}
    plain = {"search": "prefix_beam", "beam": 4, "threshold": 1e-6}
    assert make(DecodeConfig(beam=4)).description == plain
    hot = make(DecodeConfig(beam=4, hotwords={"ab": 3}, label_threshold=0.5)).description
    assert hot == plain | {"label_threshold": 0.5, "hotwords": {"ab": 3.0}}
    decode = DecodeConfig(lm=str(arpa), lexicon=str(lexicon), alpha=1, beta=2, unknown=-4)
    assert make(decode).description == {
        "search": "prefix_beam",
        "beam": 64,
        "threshold": 1e-6,
        "lm": {"name": "words.arpa", "sha256": sha256(arpa)},
        "lm_unit": "word",
        "alpha": 1.0,
        "lexicon": {"name": "words.txt", "sha256": sha256(lexicon)},
        "open_vocabulary": False,
        "beta": 2.0,
        "unknown": -4.0,
    }
    assert make(DecodeConfig(lm=str(arpa))).description["open_vocabulary"] is True


# What it refuses


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LanguageModelError) as caught:
        make(DecodeConfig(lm=str(tmp_path / "no.arpa")))
    assert str(caught.value) == (
        f"{tmp_path / 'no.arpa'}: no language model that can be read (No such file or directory); "
        f"check the path"
    )
    with pytest.raises(LexiconError, match="no lexicon that can be read"):
        make(DecodeConfig(lexicon=str(tmp_path)))


def test_what_a_model_needs_and_has_not_is_refused(arpa):
    needed = DecodeConfig(lm_sha256=sha256(arpa))
    parts = {"lm": ModelPart("words.arpa", sha256(arpa))}

    with pytest.raises(LanguageModelError) as caught:
        make(needed, parts)
    assert str(caught.value) == (
        f"decoding needs the language model words.arpa (SHA-256 {sha256(arpa)}), which is not in "
        f"the model file; give it: --lm FILE, or do without: --set decode.lm_sha256=null"
    )
    with pytest.raises(LanguageModelError, match="the model file holds no language model"):
        make(DecodeConfig(lm="embedded"), parts)
    given = DecodeConfig(lm=str(arpa), lm_sha256=sha256(arpa))
    assert make(given, parts).description["lm"]["sha256"] == sha256(arpa)


def test_another_file_than_needed_is_refused(arpa, lexicon):
    decode = DecodeConfig(lexicon=str(lexicon), lexicon_sha256="a" * 64)

    with pytest.raises(LexiconError) as caught:
        make(decode, {"lexicon": ModelPart("true.txt", "a" * 64)})
    assert str(caught.value) == (
        f"{lexicon}: another lexicon than decoding needs: its SHA-256 is {sha256(lexicon)}, needed "
        f"is true.txt, {'a' * 64}; give that one, or allow any: --set decode.lexicon_sha256=null"
    )


def test_a_model_in_another_case_is_refused(tmp_path):
    path = tmp_path / "upper.arpa"
    write_arpa(path, estimate_ngrams([["AB", "BA"]], order=2).model)

    with pytest.raises(LanguageModelError) as caught:
        make(DecodeConfig(lm=str(path)))
    assert str(caught.value) == (
        f"{path}: the recognizer's labels can write none of its 2 words, such as 'AB'; make a "
        f"model of text in the recognizer's spelling and case"
    )


def test_words_that_no_label_can_write_are_told_of(tmp_path, arpa, lexicon):
    mixed = tmp_path / "mixed.arpa"
    write_arpa(mixed, estimate_ngrams([["ab", "AB", "née", "ba", "x"]], order=1).model)

    assert make(DecodeConfig(lm=str(arpa))).notes == ()
    assert make(DecodeConfig()).notes == ()
    (note,) = make(DecodeConfig(lm=str(mixed))).notes
    assert note == (
        f"{mixed}: 3 of 5 words cannot be written with the recognizer's labels, such as 'AB', "
        f"'née', 'x'; they are never recognized"
    )
    assert make(DecodeConfig(lm=str(mixed), lexicon=str(lexicon))).notes == ()
    words = Alphabet(("<blank>", "ab", "ba", "x", "née"), unit=Unit.WORD)
    (note,) = make(DecodeConfig(lm=str(mixed)), alphabet=words).notes
    assert note.startswith(f"{mixed}: 1 of 5 words cannot be written")


def test_a_lexicon_and_a_model_without_a_common_word_are_refused(arpa, tmp_path):
    path = tmp_path / "others.txt"
    path.write_text("aaa\nbbb\n", encoding="utf-8")

    with pytest.raises(LanguageModelError, match="the lexicon has none of its 3 words, such as"):
        make(DecodeConfig(lm=str(arpa), lexicon=str(path)))


def test_words_that_only_the_lexicon_can_spell_are_weighed(tmp_path):
    """Labels of sounds: the lexicon says how the language model's words sound."""
    arpa, lexicon = tmp_path / "written.arpa", tmp_path / "sounds.txt"
    write_arpa(arpa, estimate_ngrams([["bee"], ["bee"], ["tea"]], order=1).model)
    lexicon.write_text("bee b i\ntea t i\n", encoding="utf-8")
    sounds = Alphabet(("<blank>", "b", "i", "t"))
    evenly = np.log(np.full((5, 4), 0.25, np.float32))
    decode = DecodeConfig(lm=str(arpa), lexicon=str(lexicon), alpha=1)

    ((best,),) = make(decode, alphabet=sounds)([evenly])

    assert best.labels == (1, 2)


def test_words_and_labels_are_not_mistaken_for_each_other(tmp_path, arpa):
    labels = tmp_path / "labels.arpa"
    write_arpa(labels, estimate_ngrams([["a", "b", "<space>", "b"]], order=2).model)

    with pytest.raises(LanguageModelError, match=r"say so: --set decode\.lm_unit=label"):
        make(DecodeConfig(lm=str(labels)))
    write_arpa(arpa, estimate_ngrams([["ab", "ba"]], order=2).model)
    with pytest.raises(LanguageModelError, match="can write none of its"):
        make(DecodeConfig(lm=str(arpa), lm_unit="label"))
    assert make(DecodeConfig(lm=str(labels), lm_unit="label")).description["lm_unit"] == "label"
    phones = Alphabet(("<blank>", "ab", "ba"), unit=Unit.WORD)
    assert make(DecodeConfig(lm=str(arpa)), alphabet=phones)


def test_settings_that_do_not_go_together_are_one_line(tmp_path, lexicon):
    labels = tmp_path / "labels.arpa"
    write_arpa(labels, estimate_ngrams([["a", "b"]], order=2).model)

    with pytest.raises(ConfigError, match=r"^decode: a lexicon needs a language model of words"):
        make(DecodeConfig(lm=str(labels), lm_unit="label", lexicon=str(lexicon)))
    with pytest.raises(HotwordError, match="no label for 'z'"):
        make(DecodeConfig(hotwords={"abz": 3}))


def test_a_file_that_changes_meanwhile_is_not_stored(arpa):
    sources = read_sources(DecodeConfig(lm=str(arpa)), {})
    assert sources.read_bytes("lm") == arpa.read_bytes()
    arpa.write_text("another", encoding="utf-8")

    with pytest.raises(LanguageModelError, match="has changed meanwhile; start again"):
        sources.read_bytes("lm")
