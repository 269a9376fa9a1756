import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.compound_words import spell_as_reference
from ctcasr.scoring.error_rate import count_errors

texts = st.lists(st.text("ab-", min_size=1, max_size=4), max_size=6).map(" ".join)


def errors(reference, hypothesis):
    return count_errors(reference.split(), hypothesis.split()).errors


def joined(text):
    return text.replace(" ", "").replace("-", "")


@pytest.mark.parametrize(
    ("reference", "hypothesis", "wanted"),
    [
        ("the data base is", "the database is", "the data base is"),
        ("a database", "a data base", "a database"),
        ("so-called e-mail", "so called email", "so-called e-mail"),
        ("data base", "date base", "date base"),
        ("the data base is here", "teh database was hear", "teh data base was hear"),
        ("one - two", "one two", "one - two"),
        ("one two", "one - two", "one two"),
        ("ice cream", "icecream and ice cream", "icecream and ice cream"),
        ("", "a b", "a b"),
        ("a b", "", ""),
    ],
)
def test_the_output_takes_the_references_spelling(reference, hypothesis, wanted):
    assert spell_as_reference(reference, hypothesis) == wanted


@given(reference=texts, hypothesis=texts)
def test_only_spaces_and_hyphens_change(reference, hypothesis):
    assert joined(spell_as_reference(reference, hypothesis)) == joined(hypothesis)


@given(reference=texts, hypothesis=texts)
def test_it_never_makes_an_output_worse(reference, hypothesis):
    assert errors(reference, spell_as_reference(reference, hypothesis)) <= errors(
        reference, hypothesis
    )


@given(reference=texts, cuts=st.lists(st.sampled_from(["", " ", "-"]), min_size=40, max_size=40))
def test_what_differs_in_nothing_else_is_no_error(reference, cuts):
    letters = joined(reference)
    hypothesis = "".join(letter + cut for letter, cut in zip(letters, cuts, strict=False))

    spelt = spell_as_reference(reference, hypothesis)

    assert spelt.split() == reference.split()


def test_long_texts_are_respelt_where_they_differ():
    words = [f"word{k}" for k in range(3_000)]
    reference = " ".join([*words[:1_000], "data base", *words[1_000:]])
    hypothesis = " ".join([*words[:1_000], "database", *words[1_000:-1], "end"])

    wanted = " ".join([*words[:1_000], "data base", *words[1_000:-1], "end"])
    assert spell_as_reference(reference, hypothesis) == wanted


def test_long_texts_that_have_nothing_in_common_are_left_as_they_are():
    said = " ".join(f"a{k}" for k in range(300))
    heard = " ".join(f"b{k}" for k in range(300))

    assert spell_as_reference(said, heard) == heard
