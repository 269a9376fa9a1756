"""Defects of transcripts: what would be learned although nobody meant it.

Every check looks at the text after the text rules, because that is what is learned. What the
rules mend is a note, so that a person knows that they lean on them. No torch.

Scripts: Unicode Standard Annex 24; normal forms: Annex 15.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import regex

from ctcasr.alphabet import Alphabet, Unit, describe
from ctcasr.checking.findings import Finding, Kind, Unusable, counted, some
from ctcasr.errors import AlphabetError
from ctcasr.manifest.utterance import Utterance
from ctcasr.text_rules import apply_rules

_TIMES = {1: "once", 2: "twice"}  # a character seen no more often in training is rare
_STRAY = regex.compile(
    r"[\p{Cc}\uFEFF\uFFFD\u00AD\u200B\u200E\u200F\u2060\u202A-\u202E\u2066-\u2069]"
    # joiners belong to the spelling of Arabic and Indic scripts, but not to these
    r"|(?<=[\p{Latin}\p{Greek}\p{Cyrillic}\s]|^)[\u200C\u200D]"
)
_ODD_SPACE = regex.compile(r"^\s|\s$|\s\s|[^\S \p{Cc}]")
_LATIN = regex.compile(r"\p{Latin}")
_LOOK_ALIKE = regex.compile(r"[\p{Cyrillic}\p{Greek}]")


def unusable_text(
    utterance: Utterance, *, alphabet: Alphabet, rules: Sequence[str]
) -> Unusable | None:
    """Return why the text cannot be learned: there is none, or the alphabet cannot write it."""
    if utterance.text is None:
        return Unusable(
            utterance.id, Kind.UNLABELLED, f"utterance {utterance.id!r}: no `text`; fill it in"
        )
    try:
        alphabet.encode(apply_rules(utterance.text, rules))
    except AlphabetError as error:
        return Unusable(utterance.id, Kind.OUTSIDE_ALPHABET, f"utterance {utterance.id!r}: {error}")
    return None


def check_texts(
    name: str, utterances: Sequence[Utterance], *, rules: Sequence[str]
) -> list[Finding]:
    """Return what is odd about the texts of one set, whatever the alphabet."""
    findings: list[Finding] = []
    labelled = [(u.id, u.text) for u in utterances if u.text is not None]
    for u in utterances:
        if u.text is None:
            findings.append(Finding(Kind.UNLABELLED, (name,), (u.id,), f"{u.id}: no `text`"))
        elif not apply_rules(u.text, rules):
            findings.append(Finding(Kind.EMPTY_TEXT, (name,), (u.id,), f"{u.id}: empty text"))
    for kind, detect in _DETECTORS.items():
        findings += _detect(name, labelled, rules, kind, detect)
    findings += _check_normalisation(name, labelled, rules)
    return findings


def check_alphabet(
    name: str, utterances: Sequence[Utterance], *, rules: Sequence[str], alphabet: Alphabet
) -> list[Finding]:
    """Return every utterance whose text the alphabet cannot write, with the code points."""
    findings = []
    for u in utterances:
        unknown = alphabet.unknown(apply_rules(u.text, rules)) if u.text else []
        if unknown:
            message = f"{u.id}: no label for {describe(unknown)}"
            findings.append(Finding(Kind.OUTSIDE_ALPHABET, (name,), (u.id,), message))
    return findings


def check_rare_units(
    name: str, utterances: Sequence[Utterance], *, rules: Sequence[str], alphabet: Alphabet
) -> list[Finding]:
    """Return each character or grapheme that a training set holds only once or twice."""
    if alphabet.unit not in (Unit.CHAR, Unit.GRAPHEME):
        return []  # most words are rare in any text
    counts: Counter[str] = Counter()
    where: dict[str, list[str]] = {}
    for u in utterances:
        units = alphabet.split(apply_rules(u.text or "", rules))
        counts.update(units)
        for unit in dict.fromkeys(units):
            where.setdefault(unit, []).append(u.id)
    return [
        Finding(
            Kind.RARE_UNITS,
            (name,),
            tuple(where[unit]),
            f"{describe([unit])} stands {_TIMES[count]}, in {some(where[unit])}",
        )
        for unit, count in sorted(counts.items())
        if count in _TIMES
    ]


def _stray_characters(text: str) -> str | None:
    found = dict.fromkeys(_STRAY.findall(text))
    return describe(found) if found else None


def _odd_spacing(text: str) -> str | None:
    found = _ODD_SPACE.search(text)
    if found is None:
        return None
    if found.start() == 0:
        return "a space at the beginning"
    if found.end() == len(text):
        return "a space at the end"
    if len(found[0]) == 2:
        return "several spaces in a row"
    return f"an unusual space, {describe([found[0]])}"


def _mixed_scripts(text: str) -> str | None:
    for word in text.split():
        foreign = dict.fromkeys(_LOOK_ALIKE.findall(word))
        if foreign and _LATIN.search(word):
            return f"{word!r} mixes Latin with {describe(foreign)}"
    return None


_DETECTORS: dict[Kind, Callable[[str], str | None]] = {
    Kind.STRAY_CHARACTERS: _stray_characters,
    Kind.SPACING: _odd_spacing,
    Kind.MIXED_SCRIPTS: _mixed_scripts,
}


def _detect(
    name: str,
    labelled: Sequence[tuple[str, str]],
    rules: Sequence[str],
    kind: Kind,
    detect: Callable[[str], str | None],
) -> Iterator[Finding]:
    mended: dict[str, str] = {}
    for item, text in labelled:
        before, after = detect(text), detect(apply_rules(text, rules))
        if after is not None:
            yield Finding(kind, (name,), (item,), f"{item}: {after}")
        elif before is not None:
            mended[item] = before
    if mended:
        item, found = next(iter(mended.items()))
        yield _mended(
            name,
            tuple(mended),
            rules,
            f"{kind} in {counted(len(mended), 'text')} ({item}: {found})",
        )


def _check_normalisation(
    name: str, labelled: Sequence[tuple[str, str]], rules: Sequence[str]
) -> Iterator[Finding]:
    """A set that writes one letter in two ways teaches two labels for it."""
    composed, decomposed = _normal_forms(labelled)
    if not (composed and decomposed):
        return
    found = (
        f"{counted(len(composed), 'text')} with composed letters (NFC; {some(composed, limit=1)}), "
        f"{len(decomposed):,} with decomposed ones ({some(decomposed, limit=1)})"
    )
    after = _normal_forms([(item, apply_rules(text, rules)) for item, text in labelled])
    if all(after):
        yield Finding(Kind.MIXED_NORMALISATION, (name,), tuple(decomposed), found)
    else:
        yield _mended(name, tuple(decomposed), rules, f"{Kind.MIXED_NORMALISATION}: {found}")


def _normal_forms(labelled: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Return the items whose texts hold composed letters, and those that hold decomposed ones."""
    composed, decomposed = [], []
    for item, text in labelled:
        if not unicodedata.is_normalized("NFC", text):
            decomposed.append(item)
        elif not unicodedata.is_normalized("NFD", text):
            composed.append(item)
    return composed, decomposed


def _mended(name: str, items: tuple[str, ...], rules: Sequence[str], found: str) -> Finding:
    return Finding(Kind.REPAIRED, (name,), items, f"{found}; mended by {', '.join(rules)}")
