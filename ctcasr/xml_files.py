"""Reading XML from strangers: no entities, nothing from outside, nothing too large."""

import re
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ctcasr.errors import CtcasrError
from ctcasr.files import read_small

MAX_XML_BYTES = 64 << 20
"""Largest XML file: over a million points of ink, or thousands of pages' lines."""

_HEAD_BYTES = 16 << 10
_COMMENT = re.compile(rb"<!--.*?(?:-->|$)", re.DOTALL)
_ROOT = re.compile(rb"<(?:[\w.-]+:)?([\w.-]+)[\s/>]")


def guess_root(path: Path) -> str | None:
    """Return the name of a file's first element, by a look at its head; None where none is seen.

    A guess: enough to tell formats apart in a folder of thousands.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return None
    found = _ROOT.search(_COMMENT.sub(b"", head))
    return found[1].decode("ascii", "replace") if found else None


def read_xml(path: Path, *, item: str, error: type[CtcasrError]) -> Element:
    """Return the root of an XML file that declares no entities and reaches nowhere.

    Args:
        path: the file.
        item: named in errors.
        error: what to raise.

    Raises:
        CtcasrError: missing, too large, not well-formed, or refused; of the kind asked for.
    """
    content = read_small(path, item=item, most=MAX_XML_BYTES, error=error)
    try:
        return fromstring(content)
    except DefusedXmlException as refused:
        raise error(
            f"{item}: {path} declares an entity or points outside itself; such XML is refused; "
            "remove its DOCTYPE"
        ) from refused
    except (ParseError, ValueError, LookupError) as broken:
        raise error(f"{item}: {path} is not well-formed XML ({broken}); save it anew") from broken


def local_name(element: Element) -> str:
    """Return an element's name without its namespace; "" for a comment or instruction."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def children(element: Element, name: str) -> list[Element]:
    """Return the direct children of a name, whatever their namespace."""
    return [child for child in element if local_name(child) == name]
