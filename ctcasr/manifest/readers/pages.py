"""Pages whose lines someone has found: PAGE XML and ALTO, as kraken, eScriptorium and others write.

Each line becomes an item: the page's image, the line's polygon and baseline, its text, and the
element that a transcript may be written back to. Of several texts of a line in PAGE, the main one
is that of the lowest index; a line without text of its own has that of its words. A line without
text is unlabelled. ALTO's positions must be in pixels.

Formats: https://github.com/PRImA-Research-Lab/PAGE-XML, version 2019-07-15 (older ones differ in
nothing read here but the way points are written, which is understood); https://www.loc.gov/standards/alto,
versions 2 to 4.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from ctcasr.errors import ManifestError
from ctcasr.manifest.ids import id_from_path
from ctcasr.manifest.readers.audio_lookup import walk_files
from ctcasr.manifest.readers.collecting import Collector
from ctcasr.manifest.readers.image_lookup import find_page_image
from ctcasr.manifest.utterance import Modality, Point, Source, Utterance
from ctcasr.xml_files import children, guess_root, local_name, read_xml

PAGE_ROOT, ALTO_ROOT = "PcGts", "alto"
FIND_LINES = "find them first, with kraken or eScriptorium"

_FORMATS = {PAGE_ROOT: "page", ALTO_ROOT: "alto"}
_CORNERS = 3


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a page; `outline` has fewer than three corners where the file gives none."""

    element: str
    outline: tuple[Point, ...]
    baseline: tuple[Point, ...]
    text: str


def page_format(path: Path) -> str | None:
    """Return "page" or "alto" for a file that looks like one; None for any other."""
    if path.suffix.lower() != ".xml":
        return None
    return _FORMATS.get(guess_root(path) or "")


def is_page(path: Path) -> bool:
    """Tell whether a file looks like PAGE XML or ALTO."""
    return page_format(path) is not None


def collect_pages(source: Path, collector: Collector) -> None:
    """Add every line of a PAGE or ALTO file, or of all in a folder.

    An XML file that is neither, a page without its image or without lines, and a line without a
    polygon are left out by name.
    """
    files = [source] if source.is_file() else walk_files(source)
    for path in files:
        if path.suffix.lower() == ".xml" or path == source:
            _collect_page(path, collector)


def read_page(path: Path, *, name: str) -> list[Utterance]:
    """Return the lines of a PAGE or ALTO file; one without a polygon has one of no corners.

    Args:
        path: the file.
        name: what the ids of its lines begin with.

    Raises:
        ManifestError: the file is neither; it has no lines, or its image is not there.
    """
    root = read_xml(path, item=str(path), error=ManifestError)
    kind = local_name(root)
    if kind == PAGE_ROOT:
        named, lines = _image_of_page(root), list(_lines_of_page(root))
    elif kind == ALTO_ROOT:
        unit = _text_of(root, "MeasurementUnit") or "pixel"
        if unit != "pixel":
            raise ManifestError(f"{path}: measures in {unit}; export it anew with pixels")
        named, lines = _text_of(root, "fileName"), list(_lines_of_alto(root))
    else:
        raise ManifestError(f"{path}: its root is <{kind}>; <PcGts> (PAGE) and <alto> are read")
    if not lines:
        raise ManifestError(f"{path}: has no lines of text; {FIND_LINES}")
    image = find_page_image(path, named)
    if image is None:
        raise ManifestError(f"{path}: its image {named or path.stem!r} is not beside it; copy it")
    return [
        Utterance(
            id=f"{name}-{line.element or number}",
            path=image,
            modality=Modality.IMAGE,
            text=line.text.strip() or None,
            polygon=line.outline,
            baseline=line.baseline or None,
            source=Source(path, line.element) if line.element else None,
            group=name,
        )
        for number, line in enumerate(lines, start=1)
    ]


def _collect_page(path: Path, collector: Collector) -> None:
    file = path.relative_to(collector.folder)
    try:
        lines = read_page(path, name=id_from_path(file))
    except ManifestError as error:
        collector.leave_out(str(file), str(error).removeprefix(f"{path}: "))
        return
    for line in lines:
        item = f"{file} line {line.source.element if line.source else line.id}"
        if len(line.polygon or ()) < _CORNERS:
            collector.leave_out(item, f"has no polygon; {FIND_LINES}")
        else:
            collector.add(item, line)


# --- PAGE


def _image_of_page(root: Element) -> str | None:
    return next((page.get("imageFilename") for page in children(root, "Page")), None)


def _lines_of_page(root: Element) -> Iterator[_Line]:
    for element in root.iter():
        if local_name(element) == "TextLine":
            yield _Line(
                element=element.get("id", ""),
                outline=_first_points(element, "Coords"),
                baseline=_first_points(element, "Baseline"),
                text=_main_text(element),
            )


def _first_points(element: Element, name: str) -> tuple[Point, ...]:
    for child in children(element, name):
        if child.get("points") is not None:
            return _points(child.get("points", ""))
        corners = children(child, "Point")  # until 2010
        return _points(" ".join(f"{at.get('x')},{at.get('y')}" for at in corners))
    return ()


def _main_text(element: Element) -> str:
    texts = children(element, "TextEquiv")
    if not texts:
        return " ".join(filter(None, map(_main_text, children(element, "Word"))))
    main = min(texts, key=_index)  # of equal ones, the first
    written = children(main, "Unicode") or children(main, "PlainText")
    return "".join(written[0].itertext()) if written else ""


def _index(text: Element) -> float:
    try:
        return float(text.get("index", "-1"))
    except ValueError:
        return math.inf


# --- ALTO


def _lines_of_alto(root: Element) -> Iterator[_Line]:
    for element in root.iter():
        if local_name(element) == "TextLine":
            polygons = [at for shape in children(element, "Shape") for at in shape]
            outline = next(
                (_points(at.get("POINTS", "")) for at in polygons if local_name(at) == "Polygon"),
                (),
            )
            yield _Line(
                element=element.get("ID", ""),
                outline=outline or _box(element),
                baseline=_points(element.get("BASELINE", "")),
                text=_text_of_strings(element),
            )


def _box(element: Element) -> tuple[Point, ...]:
    try:
        left, top, width, height = (
            float(element.attrib[name]) for name in ("HPOS", "VPOS", "WIDTH", "HEIGHT")
        )
    except (KeyError, ValueError):
        return ()
    if width <= 0 or height <= 0:
        return ()
    right, bottom = left + width, top + height
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _text_of_strings(element: Element) -> str:
    """Return the words of a line; a hyphen at its end belongs to the last."""
    words = " ".join(child.get("CONTENT", "") for child in children(element, "String"))
    return words + "".join(child.get("CONTENT", "") for child in children(element, "HYP"))


def _text_of(root: Element, name: str) -> str | None:
    """Return the text of the first element of a name, wherever it stands."""
    found = (element for element in root.iter() if local_name(element) == name)
    return next(((element.text or "").strip() or None for element in found), None)


def _points(text: str) -> tuple[Point, ...]:
    """Return the points of "x,y x,y" or "x y x y"; none where that is not what it says."""
    try:
        numbers = [float(number) for number in text.replace(",", " ").split()]
    except ValueError:
        return ()
    if len(numbers) % 2 or not all(map(math.isfinite, numbers)):
        return ()
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))
