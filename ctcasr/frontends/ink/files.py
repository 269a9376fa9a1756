"""Pen strokes from files: InkML, IAM-OnDB's XML, JSON stroke lists and packs of many items.

The form is told by the file's name and, for XML, by its root element:

    .inkml, .xml    <ink>: InkML; <WhiteboardCaptureSession>: IAM-OnDB
    .json           [[[x, y], ...], ...]: strokes of points; or [x, y, t] with t in seconds in every
                    point; y grows down
    .npz            a pack: the points of all items end to end. `dx`, `dy` differences to the point
                    before (an item's first point: 0, 0), `pen_up` 1 on the last point of a stroke,
                    `dt` hundredths of a second since the point before (may be absent), `offset`
                    (items + 1,): item i owns the points offset[i]:offset[i + 1]

Of InkML: traces in any mix of explicit values, first and second differences; wildcards; channels in
any order, unknown ones passed over, intermittent ones; trace formats and contexts by reference or
in streaming order; traces continued in others; X and Y of different resolution brought to one.
Traces of a hovering pen (type="penUp") are no ink. Channels of a brush and mappings are not read.

XML that declares entities or reaches outside itself is refused (defusedxml), and so is a text file
over 64 MiB or a pack over 4 GiB.

Source: W3C Recommendation "Ink Markup Language (InkML)", 20 September 2011, sections 3.1 to 3.3 and
4.2 to 4.4.
"""

import functools
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from ctcasr.errors import InkError
from ctcasr.files import read_small
from ctcasr.frontends.ink.strokes import Ink
from ctcasr.xml_files import MAX_XML_BYTES, local_name, read_xml

MAX_PACK_BYTES = 4 << 30
"""Largest pack, as unpacked."""

INK_SUFFIXES = (".inkml", ".xml", ".json", ".npz")

_XML_ID = "{http://www.w3.org/XML/1998/namespace}id"
_TICKS_PER_SECOND = 100
_TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_VALUE = re.compile(
    r"\s*(?:(?P<order>[!'\"])\s*)?"
    r"(?:(?P<hex>-?\s*#[0-9A-Fa-f]{1,16})"
    r"|(?P<number>-?\s*(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<word>[TF*?]))\s*"
)


def read_ink(
    path: Path,
    *,
    item: str,
    index: int | None = None,
    traces: Sequence[str] | None = None,
) -> Ink:
    """Return the strokes of one item.

    Args:
        path: a file of one of the forms above.
        item: named in errors.
        index: which item of a pack; needed there, refused elsewhere.
        traces: ids of the InkML traces or trace groups that make up the item, in this order; None
            takes all. Refused elsewhere.

    Raises:
        InkError: the file cannot be read or is of no known form; the item is not in it; or see
            `Ink.checked`.
    """
    suffix = path.suffix.lower()
    if suffix not in INK_SUFFIXES:
        raise InkError(
            f"{item}: {path} is no file of pen strokes; {', '.join(INK_SUFFIXES)} are read"
        )
    if suffix == ".npz":
        _refuse(traces, "traces", path, item)
        return _read_packed(path, index, item)
    _refuse(index, "index", path, item)
    if suffix == ".json":
        _refuse(traces, "traces", path, item)
        return _read_stroke_list(path, item)
    root = read_xml(path, item=item, error=InkError)
    if local_name(root) == "ink":
        return _read_inkml(root, traces, item)
    _refuse(traces, "traces", path, item)
    if local_name(root) == "WhiteboardCaptureSession":
        return _read_whiteboard(root, item)
    raise InkError(
        f"{item}: the root of {path} is <{local_name(root)}>; <ink> (InkML) and "
        "<WhiteboardCaptureSession> (IAM-OnDB) are read"
    )


def _refuse(value: object, name: str, path: Path, item: str) -> None:
    if value is not None:
        raise InkError(f"{item}: {path} knows no {name}; leave the field out")


# --- packs


def _read_packed(path: Path, index: int | None, item: str) -> Ink:
    try:
        status = path.stat()
    except OSError as error:
        raise InkError(f"{item}: cannot read {path} ({error.strerror}); check the path") from error
    pack = _load_pack(path, status.st_mtime_ns, status.st_size)
    num_items = len(pack["offset"]) - 1
    if index is None or not 0 <= index < num_items:
        found = "no index" if index is None else f"index {index}"
        raise InkError(f"{item}: {found}; {path} holds {num_items:,} items, counted from 0")
    first, end = (int(bound) for bound in pack["offset"][index : index + 2])
    steps = np.stack([pack["dx"][first:end], pack["dy"][first:end]], axis=1)
    times = None
    if "dt" in pack:
        times = np.cumsum(pack["dt"][first:end], dtype=np.float64) / _TICKS_PER_SECOND
    return Ink.checked(
        np.cumsum(steps, axis=0, dtype=np.float64), pack["pen_up"][first:end] != 0, times, item=item
    )


@functools.lru_cache(maxsize=4)
def _load_pack(path: Path, _changed: int, _size: int) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a pack, kept in memory while the file stays as it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_PACK_BYTES:
            raise InkError(
                f"{path}: {size:,} bytes when unpacked, at most {MAX_PACK_BYTES:,} are read; "
                "make several packs of it"
            )
        with np.load(path, allow_pickle=False) as loaded:
            names = {"dx", "dy", "dt", "pen_up", "offset"} & set(loaded.files)
            pack = {name: loaded[name] for name in names}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InkError(f"{path}: no readable .npz pack ({error}); write it anew") from error
    missing = sorted({"dx", "dy", "pen_up", "offset"} - set(pack))
    if missing:
        raise InkError(f"{path}: the pack lacks {', '.join(missing)}; write it anew with them")
    numeric = all(array.ndim == 1 and array.dtype.kind in "iufb" for array in pack.values())
    offset = pack["offset"]
    if (
        not numeric
        or offset.dtype.kind not in "iu"
        or not len(offset)
        or len({len(array) for name, array in pack.items() if name != "offset"}) > 1
        or int(offset[0]) < 0
        or bool((np.diff(offset.astype(np.int64)) < 0).any())
        or int(offset[-1]) > len(pack["dx"])
    ):
        raise InkError(
            f"{path}: the arrays of the pack do not fit together; dx, dy, pen_up (and dt) need one "
            "number per point, offset must rise from 0 to their length"
        )
    return pack


# --- JSON stroke lists


def _read_stroke_list(path: Path, item: str) -> Ink:
    try:
        strokes = json.loads(read_small(path, item=item, most=MAX_XML_BYTES, error=InkError))
        points = [np.asarray(stroke, dtype=np.float64) for stroke in strokes if len(stroke)]
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _not_strokes(path, item) from error
    widths = {point.shape[1] if point.ndim == 2 else 0 for point in points}
    if not widths <= {2} and not widths <= {3}:
        raise _not_strokes(path, item)
    times = [stroke[:, 2] for stroke in points] if widths == {3} else None
    ink = Ink.from_strokes([stroke[:, :2] for stroke in points], times, item=item)
    return replace(ink, num_empty=len(strokes) - len(points))


def _not_strokes(path: Path, item: str) -> InkError:
    return InkError(
        f"{item}: {path} holds no list of strokes; needed is [[[x, y], ...], ...], "
        "or [x, y, t] for every point"
    )


# --- IAM-OnDB


def _read_whiteboard(root: Element, item: str) -> Ink:
    strokes, times = [], []
    for stroke in root.iter("Stroke"):
        try:
            rows = [
                (float(point.attrib["x"]), float(point.attrib["y"]), float(point.attrib["time"]))
                for point in stroke.iter("Point")
            ]
        except (KeyError, ValueError) as error:
            raise InkError(
                f"{item}: a <Point> without a number for x, y or time ({error}); mend the file"
            ) from error
        table = np.array(rows, dtype=np.float64).reshape(-1, 3)
        strokes.append(table[:, :2])
        times.append(table[:, 2])
    return Ink.from_strokes(strokes, times, item=item)


# --- InkML


@dataclass(frozen=True, slots=True)
class _Channel:
    name: str
    scale: float = 1.0
    default: float = 0.0


@dataclass(frozen=True, slots=True)
class _TraceFormat:
    """The channels of a point in order; the last `num_intermittent` may be left out."""

    channels: tuple[_Channel, ...] = (_Channel("X"), _Channel("Y"))
    num_intermittent: int = 0

    @property
    def num_regular(self) -> int:
        return len(self.channels) - self.num_intermittent


@dataclass(slots=True)
class _InkmlDocument:
    """What references of an InkML file lead to, and its traces in order."""

    item: str
    formats: dict[str, _TraceFormat] = field(default_factory=dict)
    contexts: dict[str, _TraceFormat] = field(default_factory=dict)
    sources: dict[str, _TraceFormat] = field(default_factory=dict)
    strokes: list[NDArray[np.float64]] = field(default_factory=list)
    """(n, 3) x, y and seconds; NaN where there is no time."""
    members: dict[str, list[int]] = field(default_factory=dict)
    """The strokes of each named trace or group."""

    def walk(
        self, parent: Element, current: _TraceFormat, groups: tuple[str, ...], *, defining: bool
    ) -> None:
        """Take in the children of <ink>, <definitions> or <traceGroup>, in their order."""
        for element in parent:
            name = local_name(element)
            if name == "definitions":
                self.walk(element, current, groups, defining=True)
            elif name in ("traceFormat", "inkSource", "context"):
                found = self._define(element, current)
                current = current if defining else found
            elif name == "traceGroup":
                group = (*groups, *_ids(element))
                self.walk(element, self._format_of(element, current), group, defining=defining)
            elif name == "trace" and element.get("type", "penDown") != "penUp":
                self._add_trace(element, self._format_of(element, current), groups)

    def _define(self, element: Element, current: _TraceFormat) -> _TraceFormat:
        name = local_name(element)
        if name == "traceFormat":
            found = _parse_format(element, self.item)
            table = self.formats
        elif name == "inkSource":
            found = current
            for child in element:
                if local_name(child) == "traceFormat":
                    found = self._define(child, found)
            found = _with_resolution(found, element)
            table = self.sources
        else:
            found = self._context(element, current)
            table = self.contexts
        for name in _ids(element):
            table[name] = found
        return found

    def _context(self, element: Element, current: _TraceFormat) -> _TraceFormat:
        """Return the format in a context: what it holds, else what it refers to, else `current`."""
        for attribute, table in (
            ("contextRef", self.contexts),
            ("inkSourceRef", self.sources),
            ("traceFormatRef", self.formats),
        ):
            current = self._look_up(element, attribute, table, current)
        for child in element:
            if local_name(child) in ("traceFormat", "inkSource"):
                current = self._define(child, current)
        return current

    def _look_up(
        self,
        element: Element,
        attribute: str,
        table: dict[str, _TraceFormat],
        otherwise: _TraceFormat,
    ) -> _TraceFormat:
        reference = element.get(attribute)
        if reference is None or reference == "#DefaultContext":
            return otherwise
        name = reference.removeprefix("#")
        if name not in table:
            raise InkError(
                f"{self.item}: {attribute}={reference!r} leads nowhere in this file; define it "
                "before it is used"
            )
        return table[name]

    def _format_of(self, element: Element, current: _TraceFormat) -> _TraceFormat:
        return self._look_up(element, "contextRef", self.contexts, current)

    def _add_trace(self, element: Element, form: _TraceFormat, groups: tuple[str, ...]) -> None:
        table = _parse_trace(element.text or "", form, self.item)
        table[:, 2] += _number(element.get("timeOffset", "0"), self.item) * _TIME_UNITS["ms"]
        prior = self.members.get(element.get("priorRef", "").removeprefix("#"))
        if prior and element.get("continuation") in ("middle", "end"):
            at = prior[0]
            self.strokes[at] = np.concatenate([self.strokes[at], table])
        else:
            at = len(self.strokes)
            self.strokes.append(table)
            for name in groups:
                self.members.setdefault(name, []).append(at)
        for name in _ids(element):
            self.members[name] = [at]


def _ids(element: Element) -> tuple[str, ...]:
    name = element.get(_XML_ID, element.get("id"))
    return () if name is None else (name,)


def _number(text: str, item: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InkError(f"{item}: {text!r} is no number; mend the file") from error


def _read_inkml(root: Element, traces: Sequence[str] | None, item: str) -> Ink:
    document = _InkmlDocument(item)
    try:
        document.walk(root, _TraceFormat(), (), defining=False)
    except RecursionError as error:
        raise InkError(
            f"{item}: trace groups lie in each other too deeply; flatten them"
        ) from error
    strokes = document.strokes
    if traces is not None:
        missing = [name for name in traces if name not in document.members]
        if missing:
            raise InkError(f"{item}: no trace or group named {missing[0]!r}; check the file's ids")
        strokes = [strokes[at] for name in traces for at in document.members[name]]
    timed = all(np.isfinite(stroke[:, 2]).all() for stroke in strokes)
    times = list(_one_clock([stroke[:, 2] for stroke in strokes])) if timed else None
    return Ink.from_strokes([stroke[:, :2] for stroke in strokes], times, item=item)


def _one_clock(times: Sequence[NDArray[np.float64]]) -> Iterator[NDArray[np.float64]]:
    """Yield the times of each trace; one that counts from its own start goes on where time is."""
    now = -np.inf
    for trace in times:
        if len(trace) and trace[0] < now:
            trace = trace - trace[0] + now
        now = trace.max(initial=now)
        yield trace


def _parse_format(element: Element, item: str) -> _TraceFormat:
    regular: list[_Channel] = []
    intermittent: list[_Channel] = []
    for child in element:
        if local_name(child) == "channel":
            regular.append(_parse_channel(child, item))
        elif local_name(child) == "intermittentChannels":
            intermittent += [
                _parse_channel(channel, item)
                for channel in child
                if local_name(channel) == "channel"
            ]
    return _TraceFormat((*regular, *intermittent), len(intermittent))


def _parse_channel(element: Element, item: str) -> _Channel:
    name = element.get("name", "")
    scale = _TIME_UNITS.get(element.get("units", "ms"), 1e-3) if name == "T" else 1.0
    if element.get("orientation") == "-ve":
        scale = -scale
    default = {"T": "1", "F": "0"}.get(element.get("default", "0"), element.get("default", "0"))
    return _Channel(name, scale, _number(default, item))


def _with_resolution(form: _TraceFormat, source: Element) -> _TraceFormat:
    """Return a format in which X and Y count in one unit, where their resolutions differ."""
    found: dict[str, tuple[float, str]] = {}
    for element in source.iter():
        if local_name(element) == "channelProperty" and element.get("name") == "resolution":
            try:
                value = float(element.get("value", ""))
            except ValueError:
                continue
            found[element.get("channel", "")] = (value, element.get("units", ""))
    x, y = found.get("X"), found.get("Y")
    if x is None or y is None or x[1] != y[1] or min(x[0], y[0]) <= 0:
        return form
    ratio = x[0] / y[0]
    return replace(
        form,
        channels=tuple(
            replace(channel, scale=channel.scale * ratio) if channel.name == "Y" else channel
            for channel in form.channels
        ),
    )


def _parse_trace(text: str, form: _TraceFormat, item: str) -> NDArray[np.float64]:
    """Return (n, 3) x, y and seconds (NaN without a time channel) of a trace's text.

    Per channel the last order of difference holds on: "!" explicit, "'" first, '"' second.
    """
    names = [channel.name for channel in form.channels]
    if "X" not in names or "Y" not in names:
        raise InkError(
            f"{item}: the trace format has channels {', '.join(names) or 'none'}; "
            "X and Y are needed"
        )
    values = [channel.default for channel in form.channels]
    velocities = [0.0] * len(names)
    still = [0.0] * len(names)
    orders = ["!"] * len(names)
    rows = []
    for written in text.rstrip().removesuffix(",").split(",") if text.strip() else []:
        tokens = list(_tokens(written, item))
        if not form.num_regular <= len(tokens) <= len(names):
            raise InkError(
                f"{item}: point {written.strip()!r} has {len(tokens)} values; its format has "
                f"{form.num_regular} to {len(names)} channels"
            )
        for channel, (order, value) in enumerate(tokens):
            orders[channel] = order or orders[channel]
            if value is None:  # the wildcard: a value stays; one given by differences moves on
                value = {"!": values, "'": velocities}.get(orders[channel], still)[channel]
            if orders[channel] == "!":
                velocities[channel] = 0.0
                values[channel] = value
                continue
            velocities[channel] = value + (velocities[channel] if orders[channel] == '"' else 0.0)
            values[channel] += velocities[channel]
        rows.append(tuple(values))
    table = np.array(rows, dtype=np.float64).reshape(-1, len(names))
    table = table * np.array([channel.scale for channel in form.channels])
    time = table[:, names.index("T")] if "T" in names else np.full(len(table), np.nan)
    return np.stack([table[:, names.index("X")], table[:, names.index("Y")], time], axis=1)


def _tokens(written: str, item: str) -> Iterator[tuple[str | None, float | None]]:
    """Yield the values of a point, each with its order of difference if it names one."""
    at = 0
    while at < len(written):
        found = _VALUE.match(written, at)
        if found is None:
            raise InkError(f"{item}: {written.strip()!r} is no point of a trace; mend the file")
        at = found.end()
        if found["hex"]:
            yield found["order"], float(int("".join(found["hex"].replace("#", "").split()), 16))
        elif found["number"]:
            yield found["order"], float("".join(found["number"].split()))
        else:
            yield found["order"], {"T": 1.0, "F": 0.0, "*": None, "?": float("nan")}[found["word"]]
