"""TIMIT's phones: the 61 that were labelled, the 48 that are learned, the 39 that are counted.

The glottal stop q is dropped; closures and pauses all count as silence; and vowels that even
transcribers confuse count as one.

Source: Lee and Hon 1989, "Speaker-independent phone recognition using hidden Markov models",
table II.
"""

from collections.abc import Mapping

from ctcasr.errors import ManifestError

_TO_48: Mapping[str, str] = {
    **dict.fromkeys(("bcl", "dcl", "gcl"), "vcl"),
    **dict.fromkeys(("pcl", "tcl", "kcl"), "cl"),
    **dict.fromkeys(("h#", "pau"), "sil"),
    "ax-h": "ax",
    "axr": "er",
    "em": "m",
    "eng": "ng",
    "hv": "hh",
    "nx": "n",
    "ux": "uw",
}
_TO_39: Mapping[str, str] = {
    **dict.fromkeys(("cl", "vcl", "epi"), "sil"),
    "ao": "aa",
    "ax": "ah",
    "el": "l",
    "en": "n",
    "ix": "ih",
    "zh": "sh",
}
_COUNTED = (
    "aa ae ah aw ay b ch d dh dx eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh sil t th uh uw "
    "v w y z"
)
PHONES_39 = frozenset(_COUNTED.split())
PHONES_48 = PHONES_39 | _TO_39.keys()
_DROPPED = "q"


def learned_phones(labelled: str, where: str) -> str:
    """Return a transcript of the 61 phones, parted by spaces, in the 48 that are learned.

    Raises:
        ManifestError: a phone that TIMIT does not have; `where` says in which file.
    """
    phones = [_TO_48.get(phone, phone) for phone in labelled.split() if phone != _DROPPED]
    for phone in phones:
        if phone not in PHONES_48:
            raise ManifestError(f"{where}: {phone!r} is none of TIMIT's 61 phones; copy it again")
    return " ".join(phones)


def counted_phones(learned: str) -> str:
    """Return a transcript of the 48 phones in the 39 that are counted; neighbours never merge."""
    return " ".join(_TO_39.get(phone, phone) for phone in learned.split())
