"""Transcripts written into the page that the lines came from: PAGE XML and ALTO.

What is returned is the given file with the text of each line in the place that the format has for
it, with its confidence; all else, comments and prefixes included, is as it was. What a line said
before is replaced, words with places of their own included: they are of another reading.

Formats: https://github.com/PRImA-Research-Lab/PAGE-XML, version 2019-07-15;
https://www.loc.gov/standards/alto, version 4.
"""

import io
from collections.abc import Callable, Mapping
from xml.dom.minidom import Document, Element

from defusedxml.minidom import parse

from ctcasr.transcript import TimedWord, Transcript

_AFTER_TEXT = ("TextStyle", "UserDefined", "Labels")  # of a line of PAGE, in the schema's order
_WORDS = ("String", "SP", "HYP")


def fill_page(content: bytes, lines: Mapping[str, Transcript]) -> str:
    """Return PAGE XML with the texts of lines, by their ids; several where there are n-best.

    The text of a region that has one becomes that of its lines.
    """
    return _fill(content, "id", lines, _fill_page_line, _fill_regions)


def fill_alto(content: bytes, lines: Mapping[str, Transcript]) -> str:
    """Return ALTO with the texts of lines, by their IDs, a String for each word."""
    return _fill(content, "ID", lines, _fill_alto_line)


def _fill(
    content: bytes,
    id_name: str,
    lines: Mapping[str, Transcript],
    fill_line: Callable[[Element, Transcript], None],
    finish: Callable[[Document], None] = lambda _: None,
) -> str:
    document: Document = parse(io.BytesIO(content))
    for element in _all_of(document, "TextLine"):
        transcript = lines.get(element.getAttribute(id_name))
        if transcript is not None and transcript.error is None:
            fill_line(element, transcript)
    finish(document)
    text: str = document.toxml(encoding="UTF-8").decode("utf-8")
    return text + "\n"


# --- PAGE


def _fill_page_line(line: Element, transcript: Transcript) -> None:
    _remove(line, ("Word", "TextEquiv"))
    following = next((one for one in _children(line) if one.localName in _AFTER_TEXT), None)
    others = transcript.nbest[1:]
    for index, text in enumerate([transcript.text, *(one.text for one in others)]):
        equivalent = _new(line, "TextEquiv")
        if others:
            equivalent.setAttribute("index", str(index))
        if index == 0 and transcript.confidence is not None:
            equivalent.setAttribute("conf", f"{transcript.confidence:.4f}")
        unicode_text = _new(line, "Unicode")
        unicode_text.appendChild(_owner(line).createTextNode(text))
        equivalent.appendChild(unicode_text)
        line.insertBefore(equivalent, following)


def _fill_regions(document: Document) -> None:
    for region in _all_of(document, "TextRegion"):
        texts = [one for one in _children(region) if one.localName == "TextEquiv"]
        lines = [one for one in _children(region) if one.localName == "TextLine"]
        if not (texts and lines):
            continue
        said = "\n".join(filter(None, map(_text_of_line, lines)))
        for old in texts[1:]:
            region.removeChild(old)
        if texts[0].hasAttribute("conf"):
            texts[0].removeAttribute("conf")
        for written in _children(texts[0]):
            texts[0].removeChild(written)
        unicode_text = _new(region, "Unicode")
        unicode_text.appendChild(document.createTextNode(said))
        texts[0].appendChild(unicode_text)


def _text_of_line(line: Element) -> str:
    """Return the text of a line's first TextEquiv: ours, where it has been filled."""
    for equivalent in _children(line):
        if equivalent.localName == "TextEquiv":
            return "".join(
                node.data
                for written in _children(equivalent)
                if written.localName == "Unicode"
                for node in written.childNodes
                if node.nodeType == node.TEXT_NODE
            )
    return ""


# --- ALTO


def _fill_alto_line(line: Element, transcript: Transcript) -> None:
    _remove(line, _WORDS)
    if not transcript.text:
        return
    words: tuple[TimedWord | None, ...] = transcript.words
    if transcript.axis != "px" or " ".join(word.text for word in transcript.words) != (
        transcript.text
    ):
        words = (None,)
    for number, word in enumerate(words):
        if number:
            line.appendChild(_new(line, "SP"))
        string = _new(line, "String")
        string.setAttribute("CONTENT", transcript.text if word is None else word.text)
        for name in ("HPOS", "VPOS", "WIDTH", "HEIGHT"):
            if line.hasAttribute(name):
                string.setAttribute(name, line.getAttribute(name))
        confidence = transcript.confidence
        if word is not None:
            left, right = sorted((round(word.start), round(word.end)))
            string.setAttribute("HPOS", str(left))
            string.setAttribute("WIDTH", str(right - left))
            confidence = word.confidence
        if confidence is not None:
            string.setAttribute("WC", f"{confidence:.4f}")
        line.appendChild(string)


# --- trees


def _all_of(document: Document, name: str) -> list[Element]:
    return list(document.getElementsByTagNameNS("*", name))


def _children(element: Element) -> list[Element]:
    return [node for node in element.childNodes if isinstance(node, Element)]


def _remove(element: Element, names: tuple[str, ...]) -> None:
    for child in _children(element):
        if child.localName in names:
            element.removeChild(child)


def _new(beside: Element, name: str) -> Element:
    """Return a new element of the namespace and prefix that another one has."""
    prefix = f"{beside.prefix}:" if beside.prefix else ""
    return _owner(beside).createElementNS(beside.namespaceURI, prefix + name)


def _owner(element: Element) -> Document:
    document = element.ownerDocument
    assert document is not None
    return document
