import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr import xml_files
from ctcasr.errors import InkError
from ctcasr.frontends.ink import files as ink_files
from ctcasr.frontends.ink.files import read_ink

INK = '<ink xmlns="http://www.w3.org/2003/InkML">{}</ink>'
XYT = '<channel name="X"/><channel name="Y"/><channel name="T"/>'


@pytest.fixture
def read(tmp_path: Path):
    """Write a file and read its ink."""

    def read(content: str, *, name: str = "a.inkml", **options):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return read_ink(path, item="a", **options)

    return read


def inkml(read, content: str, **options):
    return read(INK.format(content), **options)


def test_the_example_of_the_recommendation_is_read_as_its_table_says(read):
    # Section 3.2.1: differences of both orders and intermittent channels.
    ink = inkml(
        read,
        '<traceFormat><channel name="X" type="decimal"/><channel name="Y" type="decimal"/>'
        '<intermittentChannels><channel name="S1" type="boolean" default="F"/>'
        '<channel name="S2" type="boolean" default="F"/></intermittentChannels></traceFormat>'
        "<trace>1125 18432,'23'43,\"7\"-8,3-5,7 -3,6 2,6 8,3 6 T,2 4*T,3 6,3-6 F F</trace>",
    )
    assert ink.points.tolist() == [
        [1125, 18432],
        [1148, 18475],
        [1178, 18510],
        [1211, 18540],
        [1251, 18567],
        [1297, 18596],
        [1349, 18633],
        [1404, 18676],
        [1461, 18723],
        [1521, 18776],
        [1584, 18823],
    ]


@given(
    st.lists(st.tuples(*[st.integers(-5_000, 5_000)] * 2), min_size=1, max_size=12, unique=False),
    st.data(),
)
def test_every_way_to_write_a_trace_gives_the_same_points(points, data):
    written = []
    position, velocity = np.zeros(2, int), np.zeros(2, int)
    for at, point in enumerate(np.array(points)):
        order = data.draw(st.sampled_from("!'\"" if at else "!"))
        step = point - position
        values = {"!": point, "'": step, '"': step - velocity}[order]
        velocity = np.zeros(2, int) if order == "!" else step
        position = point
        written.append(order + f" {order}".join(map(str, values)))
    rows = ink_files._parse_trace(",".join(written), ink_files._TraceFormat(), "a")
    assert rows[:, :2].tolist() == [list(point) for point in points]


def test_wildcards_keep_a_value_and_a_speed(read):
    assert inkml(read, "<trace>1 2, * 3, '5 *, * *</trace>").points.tolist() == [
        [1, 2],
        [1, 3],
        [6, 3],
        [11, 3],
    ]


def test_hexadecimal_and_negative_values_need_no_space(read):
    assert inkml(read, "<trace>#1F-3, -.5-#a</trace>").points.tolist() == [[31, -3], [-0.5, -10]]


def test_channels_may_come_in_any_order_and_unknown_ones_are_passed_over(read):
    ink = inkml(
        read,
        '<traceFormat><channel name="F"/><channel name="T" units="s"/><channel name="Y"/>'
        '<channel name="OTx"/><channel name="X"/></traceFormat>'
        "<trace>9 0.5 2 7 1, 9 1.5 4 7 3</trace>",
    )
    assert ink.points.tolist() == [[1, 2], [3, 4]]
    assert ink.times is not None
    assert ink.times.tolist() == [0.5, 1.5]


def test_times_are_milliseconds_and_a_trace_that_starts_anew_goes_on(read):
    ink = inkml(
        read,
        f"<traceFormat>{XYT}</traceFormat><trace>0 0 100, 0 0 600</trace>"
        '<trace>0 0 0, 0 0 200</trace><trace timeOffset="2000">0 0 0</trace>',
    )
    assert ink.times is not None
    assert ink.times.tolist() == pytest.approx([0.1, 0.6, 0.6, 0.8, 2.0])


def test_without_a_time_channel_on_every_trace_there_are_no_times(read):
    assert inkml(read, "<trace>0 0, 1 1</trace>").times is None


def test_an_axis_that_points_up_is_turned_down(read):
    channels = '<channel name="X"/><channel name="Y" orientation="-ve"/>'
    ink = inkml(read, f"<traceFormat>{channels}</traceFormat><trace>1 2</trace>")
    assert ink.points.tolist() == [[1, -2]]


def test_axes_of_different_resolution_are_brought_to_one_unit(read):
    ink = inkml(
        read,
        '<context><inkSource><traceFormat><channel name="X"/><channel name="Y"/></traceFormat>'
        '<channelProperties><channelProperty channel="X" name="resolution" value="100" '
        'units="1/cm"/><channelProperty channel="Y" name="resolution" value="50" units="1/cm"/>'
        "</channelProperties></inkSource></context><trace>10 10</trace>",
    )
    assert ink.points.tolist() == [[10, 20]]


def test_contexts_are_found_by_reference_and_else_the_last_one_counts(read):
    swapped = '<channel name="Y"/><channel name="X"/>'
    ink = inkml(
        read,
        f'<definitions><context xml:id="c"><traceFormat>{swapped}</traceFormat></context>'
        f'<traceFormat xml:id="f">{XYT}</traceFormat></definitions>'
        '<trace contextRef="#c">1 2</trace><trace>1 2</trace>'
        '<traceGroup contextRef="#c"><trace>1 2</trace></traceGroup>'
        '<context traceFormatRef="#f"/><trace>1 2 3</trace>',
    )
    assert ink.points.tolist() == [[2, 1], [1, 2], [2, 1], [1, 2]]


def test_traces_and_groups_are_chosen_by_id_in_the_order_asked_for(read):
    content = (
        '<traceGroup xml:id="g"><trace xml:id="t1">1 1</trace><trace id="t2">2 2</trace>'
        '</traceGroup><trace xml:id="t3">3 3</trace>'
    )
    assert inkml(read, content).num_strokes == 3
    assert inkml(read, content, traces=["g"]).points[:, 0].tolist() == [1, 2]
    assert inkml(read, content, traces=["t3", "t1"]).points[:, 0].tolist() == [3, 1]
    with pytest.raises(InkError, match="a: no trace or group named 't9'"):
        inkml(read, content, traces=["t9"])


def test_a_continued_trace_is_one_stroke_and_hovering_is_no_ink(read):
    ink = inkml(
        read,
        '<trace xml:id="t" continuation="begin">1 1</trace><trace type="penUp">8 8</trace>'
        '<trace continuation="end" priorRef="#t">2 2</trace>',
    )
    assert [stroke.tolist() for stroke in ink.strokes()] == [[[1, 1], [2, 2]]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "a: no points"),
        ("<trace></trace>", "a: no points"),
        ("<trace>1 2, 3</trace>", "a: point '3' has 1 values; its format has 2 to 2"),
        ("<trace>1 x</trace>", "a: '1 x' is no point of a trace"),
        ("<trace>1 ?</trace>", "a: point 0 is at .*nan"),
        ("<trace>1e300 2</trace>", "a: point 0 is at .*within"),
        ('<traceFormat><channel name="X"/></traceFormat><trace>1</trace>', "X and Y are needed"),
        ('<trace contextRef="#none">1 1</trace>', "leads nowhere"),
        ('<trace timeOffset="soon">1 1</trace>', "'soon' is no number"),
        ("<trace>1 2", "not well-formed"),
    ],
)
def test_bad_inkml_is_named(read, content, message):
    with pytest.raises(InkError, match=message):
        inkml(read, content)


def test_groups_in_groups_without_end_are_refused(read):
    with pytest.raises(InkError, match="too deeply"):
        inkml(read, "<traceGroup>" * 20_000 + "<trace>1 1</trace>" + "</traceGroup>" * 20_000)


@given(st.text(alphabet="0123456789 ,.-#'\"!*?TFae+", max_size=30))
def test_no_text_of_a_trace_gets_past_the_errors(text):
    try:
        rows = ink_files._parse_trace(text, ink_files._TraceFormat(), "a")
    except InkError:
        return
    assert rows.shape[1] == 3


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE ink [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>',
        '<!DOCTYPE ink [<!ENTITY a SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE ink [<!ENTITY % p SYSTEM "http://localhost/x.dtd"> %p;]>',
    ],
)
def test_entities_are_refused(read, doctype):
    with pytest.raises(InkError, match="declares an entity or points outside itself"):
        read(doctype + INK.format("<trace>1 2</trace>"))


def test_xml_of_another_kind_and_files_too_large_are_refused(read, monkeypatch):
    with pytest.raises(InkError, match=r"the root of .* is <svg>"):
        read("<svg/>", name="a.xml")
    monkeypatch.setattr(xml_files, "MAX_XML_BYTES", 3)
    with pytest.raises(InkError, match="is larger than"):
        read("<svg/>", name="a.xml")


def test_the_whiteboard_format_is_read_as_downloaded(read):
    ink = read(
        '<?xml version="1.0" encoding="ISO-8859-1"?><WhiteboardCaptureSession>'
        '<WhiteboardDescription><SensorLocation corner="top_left"/></WhiteboardDescription>'
        '<StrokeSet><Stroke colour="black" start_time="7.5" end_time="7.6">'
        '<Point x="895" y="992" time="7.5"/><Point x="900" y="993" time="7.6"/></Stroke>'
        '<Stroke><Point x="1" y="2" time="8"/></Stroke></StrokeSet></WhiteboardCaptureSession>',
        name="a.xml",
    )
    assert ink.points.tolist() == [[895, 992], [900, 993], [1, 2]]
    assert ink.pen_up.tolist() == [False, True, True]
    assert ink.times is not None
    assert ink.times.tolist() == [7.5, 7.6, 8]
    with pytest.raises(InkError, match="<Point> without a number"):
        read(
            "<WhiteboardCaptureSession><Stroke><Point x='1'/></Stroke></WhiteboardCaptureSession>",
            name="a.xml",
        )


def test_stroke_lists_have_times_or_not(read):
    plain = read("[[[1, 2], [3, 4]], [], [[5, 6]]]", name="a.json")
    assert plain.points.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert plain.times is None
    timed = read("[[[1, 2, 0.5]], [[5, 6, 0.75]]]", name="a.json")
    assert timed.times is not None
    assert timed.times.tolist() == [0.5, 0.75]


@pytest.mark.parametrize(
    "content",
    [
        "{}x",
        "7",
        '{"a": 1}',
        "[[1, 2]]",
        "[[[1, 2], [3]]]",
        "[[[1, 2]], [[1, 2, 3]]]",
        "[null]",
        f"[[[{10**400}, 1]]]",
    ],
)
def test_other_json_is_refused(read, content):
    with pytest.raises(InkError, match="holds no list of strokes"):
        read(content, name="a.json")


def write_pack(path: Path, **changed):
    arrays = {
        "dx": np.array([0, 3, 0, 1], np.int16),
        "dy": np.array([0, -4, 0, 1], np.int16),
        "dt": np.array([0, 50, 0, 25], np.uint16),
        "pen_up": np.array([1, 1, 0, 1], np.uint8),
        "offset": np.array([0, 2, 4], np.int64),
        **changed,
    }
    np.savez_compressed(path, **{name: a for name, a in arrays.items() if a is not None})
    return path


def test_an_item_of_a_pack_is_summed_from_its_own_start(tmp_path):
    ink = read_ink(write_pack(tmp_path / "p.npz"), item="a", index=0)
    assert ink.points.tolist() == [[0, 0], [3, -4]]
    assert ink.times is not None
    assert ink.times.tolist() == [0, 0.5]
    assert ink.num_strokes == 2
    assert read_ink(tmp_path / "p.npz", item="a", index=1).points.tolist() == [[0, 0], [1, 1]]
    assert read_ink(write_pack(tmp_path / "q.npz", dt=None), item="a", index=0).times is None


def test_a_pack_written_anew_is_read_anew(tmp_path):
    read_ink(write_pack(tmp_path / "p.npz"), item="a", index=0)
    write_pack(tmp_path / "p.npz", dx=np.array([0, 300, 0, 100, 0, 0], np.int16)[:4])
    assert read_ink(tmp_path / "p.npz", item="a", index=0).points[1, 0] == 300


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dy": None}, "lacks dy"),
        ({"dy": np.zeros(3)}, "do not fit together"),
        ({"offset": np.array([0, 9])}, "do not fit together"),
        ({"offset": np.array([2, 0])}, "do not fit together"),
        ({"pen_up": np.array(["a"] * 4)}, "do not fit together"),
        ({"dx": np.array([None] * 4)}, "no readable .npz pack"),
    ],
)
def test_bad_packs_are_named(tmp_path, changed, message):
    with pytest.raises(InkError, match=message):
        read_ink(write_pack(tmp_path / "p.npz", **changed), item="a", index=0)


@pytest.mark.parametrize("index", [None, -1, 2])
def test_a_pack_needs_an_index_it_has(tmp_path, index):
    with pytest.raises(InkError, match=r"a: .*holds 2 items"):
        read_ink(write_pack(tmp_path / "p.npz"), item="a", index=index)


def test_what_is_no_pack_at_all_is_refused(tmp_path, monkeypatch):
    (tmp_path / "p.npz").write_bytes(b"PK")
    with pytest.raises(InkError, match=r"no readable .npz pack"):
        read_ink(tmp_path / "p.npz", item="a", index=0)
    monkeypatch.setattr(ink_files, "MAX_PACK_BYTES", 10)
    with pytest.raises(InkError, match="bytes when unpacked"):
        read_ink(write_pack(tmp_path / "p.npz"), item="a", index=0)


def test_fields_that_a_form_does_not_know_are_refused(read, tmp_path):
    with pytest.raises(InkError, match="knows no index"):
        read(json.dumps([[[0, 0]]]), name="a.json", index=0)
    with pytest.raises(InkError, match="knows no traces"):
        read(json.dumps([[[0, 0]]]), name="a.json", traces=["t"])
    with pytest.raises(InkError, match="is no file of pen strokes"):
        read("", name="a.wav")
    with pytest.raises(InkError, match="a: cannot read"):
        read_ink(tmp_path / "none.inkml", item="a")
