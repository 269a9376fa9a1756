"""Words and ids in NIST's files, which give a meaning to some characters and split at white space.

{ } ( ) < and a lone @ mean alternatives, words that may be left out, labels, nothing said. Where
words and ids hold them, they are written as in an address, %7B for {, and read back as they were.

Source: SCTK, doc/infmts.htm, github.com/usnistgov/SCTK; checked with sclite 2.10.
"""

import re
from urllib.parse import quote, unquote

_IN_WORDS = re.compile(r"[{}()<\s]|^@$")
_IN_IDS = re.compile(r"[{}()<%\s]|^;;")
_ESCAPED_IN_WORDS = re.compile(r"%(?:7B|7D|28|29|3C)|^%40$")
_ESCAPED_IN_IDS = re.compile(r"(?:%[0-9A-F]{2})+")


def escape_word(word: str) -> str:
    """Return a word as it stands in trn, stm and ctm."""
    return _IN_WORDS.sub(_quoted, word)


def escape_id(name: str) -> str:
    """Return an id as it stands in trn, stm and ctm."""
    return _IN_IDS.sub(_quoted, name)


def unescape_word(token: str) -> str:
    """Return the word that `escape_word` wrote; others stay as they are."""
    return _ESCAPED_IN_WORDS.sub(lambda found: unquote(found[0]), token)


def unescape_id(token: str) -> str:
    """Return the id that `escape_id` wrote; others stay as they are, unless they hold %XX."""
    return _ESCAPED_IN_IDS.sub(lambda found: unquote(found[0]), token)


def _quoted(found: re.Match[str]) -> str:
    return quote(found[0], safe="")
