"""A folder of pen strokes: InkML with its truth inside, or files with their text beside them.

An InkML file whose <ink> has an annotation of type "truth" is one item. In one without, each
outermost traceGroup that has such an annotation is an item. Where there is none at all, and for
JSON stroke lists, the text is that of the file of the same name that ends in .txt. An annotation of
type "writer" names the writer.

Source: W3C Recommendation "Ink Markup Language (InkML)", 2011, sections 3.2 (groups and views) and
9.1 (annotations; their types are a habit of the field, as in the CROHME competitions).
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from ctcasr.errors import ManifestError
from ctcasr.manifest.ids import id_from_path
from ctcasr.manifest.readers.audio_lookup import walk_files
from ctcasr.manifest.readers.collecting import Collector
from ctcasr.manifest.readers.text_file import read_text
from ctcasr.manifest.utterance import Modality, Utterance
from ctcasr.xml_files import children, local_name, read_xml

_XML_ID = "{http://www.w3.org/XML/1998/namespace}id"


def is_inkml(path: Path) -> bool:
    """Tell by its suffix whether a file is InkML."""
    return path.suffix.lower() == ".inkml" and not path.name.startswith(".")


def collect_ink(folder: Path, collector: Collector) -> None:
    """Add every item of ink under a folder, in order of path.

    Where files lie in more than one folder, items of one folder are a group.

    Raises:
        ManifestError: a text file that is not text.
    """
    files = [path.relative_to(folder) for path in walk_files(folder)]
    texts = {id_from_path(path): path for path in files if path.suffix.lower() == ".txt"}
    inks = [path for path in files if is_inkml(path)]
    inks += [p for p in files if p.suffix.lower() == ".json" and id_from_path(p) in texts]
    grouped = len({path.parent for path in inks}) > 1
    used = set()
    for ink in sorted(inks):
        name = id_from_path(ink)
        text = read_text(folder / texts[name], collector).strip() if name in texts else None
        used.add(name)
        group = id_from_path(ink.parent) if grouped else None
        try:
            items = list(_items_of(folder / ink, text, group))
        except ManifestError as error:
            collector.leave_out(str(ink), str(error))
            continue
        for number, item in enumerate(items, start=1):
            where = str(ink) if len(items) == 1 else f"{ink}, item {number}"
            if item.traces == ():
                collector.leave_out(where, "its traces have no ids, so that it cannot be found")
            else:
                collector.add(where, item)
    for name in sorted(texts.keys() - used):
        collector.leave_out(str(texts[name]), "no ink of the same name beside it")


def _items_of(path: Path, text: str | None, group: str | None) -> Iterator[Utterance]:
    """Yield the items of a file; one that cannot be found in it has no traces."""
    if not is_inkml(path):
        yield Utterance(id="", path=path, modality=Modality.INK, text=text, group=group)
        return
    root = read_xml(path, item=path.name, error=ManifestError)
    writer = _annotation(root, "writer")
    truth = _annotation(root, "truth")
    parts = [] if truth is not None or text is not None else list(_true_groups(root))
    if not parts:
        yield Utterance(
            id="",
            path=path,
            modality=Modality.INK,
            text=truth if truth is not None else text,
            speaker=writer,
            group=group,
        )
    for part in parts:
        yield Utterance(
            id="",
            path=path,
            modality=Modality.INK,
            traces=_traces(part),
            text=_annotation(part, "truth"),
            speaker=_annotation(part, "writer") or writer,
            group=group,
        )


def _annotation(element: Element, kind: str) -> str | None:
    """Return the text of an element's own annotation of a type; None where it has none."""
    for child in children(element, "annotation"):
        if child.get("type", "").lower() == kind:
            return " ".join((child.text or "").split())
    return None


def _true_groups(element: Element) -> Iterator[Element]:
    """Yield the outermost trace groups with a truth of their own."""
    for child in children(element, "traceGroup"):
        if _annotation(child, "truth") is not None:
            yield child
        else:
            yield from _true_groups(child)


def _traces(group: Element) -> tuple[str, ...]:
    """Return what names the strokes of a group: its own id, or those of what it holds."""
    own = group.get(_XML_ID, group.get("id"))
    if own is not None and not any(local_name(each) == "traceView" for each in group.iter()):
        return (own,)
    names = []
    for each in group.iter():
        if local_name(each) == "traceView" and each.get("traceDataRef"):
            names.append(each.get("traceDataRef", "").removeprefix("#"))
        elif local_name(each) == "trace" and (each.get(_XML_ID) or each.get("id")):
            names.append(each.get(_XML_ID) or each.get("id") or "")
    return tuple(names)
