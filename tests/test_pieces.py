"""Pieces of utterances: they cover what was said and are cut between its words."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcasr.manifest import Utterance, read_manifest
from ctcasr.pipeline.pieces import MOST_WORDS, cut, write_pieces
from ctcasr.transcript import TimedWord


def said(text, *, offset=0.0):
    """An utterance that says a word every half second, and when each word is said."""
    words = text.split()
    timed = tuple(
        TimedWord(word, offset + 0.5 * k + 0.1, offset + 0.5 * k + 0.4)
        for k, word in enumerate(words)
    )
    utterance = Utterance(
        id="u", path=Path("u.wav"), text=text, offset=offset, duration=0.5 * len(words) + 0.1
    )
    return utterance, timed


@given(st.lists(st.sampled_from(["a", "bee", "see"]), min_size=2, max_size=12), st.floats(0, 9))
@settings(deadline=None)
def test_pieces_cover_an_utterance_in_order_and_are_cut_between_words(words, offset):
    utterance, timed = said(" ".join(words), offset=offset)

    pieces: list[Any] = list(cut(utterance, timed))

    assert len(pieces) >= 2
    assert " ".join(piece.text for piece in pieces) == utterance.text
    assert all(1 <= len(piece.text.split()) <= MOST_WORDS for piece in pieces)
    starts = [piece.offset for piece in pieces]
    ends = [piece.offset + piece.duration for piece in pieces]
    assert starts[0] == offset
    assert ends == pytest.approx([*starts[1:], offset + utterance.duration])
    first_words = np.cumsum([0, *(len(piece.text.split()) for piece in pieces)])[1:-1]
    halves = [(timed[k - 1].end + timed[k].start) / 2 for k in first_words]
    assert starts[1:] == pytest.approx(halves)
    assert len({piece.id for piece in pieces}) == len(pieces)
    assert pieces == list(cut(utterance, timed))


@pytest.mark.parametrize("text", ["", "word"])
def test_what_has_fewer_than_two_words_is_not_cut(text):
    assert list(cut(*said(text))) == []


def test_the_last_piece_reaches_as_far_as_the_whole():
    utterance, timed = said("a b c d e f")

    *_, last = cut(replace(utterance, duration=None), timed)

    assert last.duration is None
    assert last.offset < timed[-1].start


def test_what_could_not_be_aligned_stays_whole(tmp_path):
    one, timed = said("a b c")
    other = replace(one, id="v", path=Path("v.wav"))

    count = write_pieces(tmp_path / "pieces.jsonl", [one, other], {"u": timed})

    written = [utterance.id for utterance in read_manifest(tmp_path / "pieces.jsonl")]
    assert len(written) == 2 + count
    assert [name for name in written if name.startswith("v")] == ["v"]
    assert len([name for name in written if name.startswith("u.")]) == count >= 2
