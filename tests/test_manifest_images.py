"""Images of lines: folders with .gt.txt, and pages in PAGE XML and ALTO as programs write them."""

from pathlib import Path

import pytest
from PIL import Image

from ctcasr.errors import ManifestError
from ctcasr.manifest import import_manifest, read_manifest, write_manifest
from ctcasr.manifest.utterance import Modality, Source

PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<!-- <alto/> is another format -->
<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15">
  <Page imageFilename="{image}" imageWidth="400" imageHeight="300">
    <TextRegion id="r1"><Coords points="0,0 400,0 400,300 0,300"/>{lines}</TextRegion>
  </Page>
</PcGts>"""
COORDS = '<Coords points="10,20 200,22 200,60 10,58"/>'
LINE = f'<TextLine id="l1">{COORDS}<Baseline points="10,50 200,52"/>{{text}}</TextLine>'
ALTO = """<?xml version="1.0"?>
<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#">
  <Description><MeasurementUnit>{unit}</MeasurementUnit>
    <sourceImageInformation><fileName>{image}</fileName></sourceImageInformation></Description>
  <Layout><Page WIDTH="400" HEIGHT="300"><PrintSpace><TextBlock ID="b1">{lines}</TextBlock>
  </PrintSpace></Page></Layout>
</alto>"""


def make_images(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (40, 30), 255).save(folder / name)


def make_page(path: Path, lines: str, *, image: str = "p1.png") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PAGE.format(lines=lines, image=image), encoding="utf-8")
    return path


def make_alto(path: Path, lines: str, *, image: str = "p1.png", unit: str = "pixel") -> Path:
    path.write_text(ALTO.format(lines=lines, image=image, unit=unit), encoding="utf-8")
    return path


def texts_of(imported):
    return {utterance.id: utterance.text for utterance in imported.utterances}


def unicode_text(text: str, index: int | None = None) -> str:
    number = "" if index is None else f' index="{index}"'
    return f"<TextEquiv{number}><Unicode>{text}</Unicode></TextEquiv>"


def word_of(text: str) -> str:
    return f"<Word>{COORDS}{unicode_text(text)}</Word>"


def test_a_line_of_page_xml_knows_its_place_and_its_element(tmp_path):
    make_images(tmp_path, "p1.png")
    source = make_page(tmp_path / "p1.xml", LINE.format(text=unicode_text(" héllo ")))
    (line,) = import_manifest(source).utterances
    assert line.id == "p1-l1"
    assert line.modality is Modality.IMAGE
    assert line.path == tmp_path / "p1.png"
    assert line.text == "héllo"
    assert line.polygon == ((10.0, 20.0), (200.0, 22.0), (200.0, 60.0), (10.0, 58.0))
    assert line.baseline == ((10.0, 50.0), (200.0, 52.0))
    assert line.source == Source(source, "l1")
    assert line.group == "p1"
    write_manifest(tmp_path / "m.jsonl", [line])
    assert read_manifest(tmp_path / "m.jsonl") == [line]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (unicode_text("b", 1) + unicode_text("a", 0) + unicode_text("c", 2), "a"),
        (unicode_text("b", 1) + unicode_text("main"), "main"),
        (unicode_text("first") + unicode_text("second"), "first"),
        ("<TextEquiv><PlainText>plain</PlainText></TextEquiv>", "plain"),
        (word_of("two") + word_of("words"), "two words"),
        (word_of("word") + unicode_text("line"), "line"),
        (unicode_text("שלום"), "שלום"),
        (unicode_text(" "), None),
        ("", None),
    ],
)
def test_the_main_text_of_a_line_is_that_of_the_lowest_index(tmp_path, written, text):
    make_images(tmp_path, "p1.png")
    source = make_page(tmp_path / "p1.xml", LINE.format(text=written))
    assert texts_of(import_manifest(source)) == {"p1-l1": text}


def test_the_points_of_2010_are_read(tmp_path):
    make_images(tmp_path, "p1.png")
    corners = "".join(f'<Point x="{x}" y="{y}"/>' for x, y in ((1, 2), (30, 2), (30, 9)))
    source = make_page(
        tmp_path / "p1.xml", f'<TextLine id="l1"><Coords>{corners}</Coords></TextLine>'
    )
    assert import_manifest(source).utterances[0].polygon == ((1, 2), (30, 2), (30, 9))


def test_a_folder_of_pages_as_transkribus_lays_it_out(tmp_path):
    make_images(tmp_path, "p1.jpg", "p2.tif")
    make_page(tmp_path / "page" / "p1.xml", LINE.format(text=""), image="p1.jpg")
    make_page(tmp_path / "page" / "p2.xml", LINE.format(text=""), image="C:\\scans\\p2.tif")
    (tmp_path / "mets.xml").write_text("<mets/>", encoding="utf-8")
    imported = import_manifest(tmp_path)
    assert [(u.id, u.path.name) for u in imported.utterances] == [
        ("page/p1-l1", "p1.jpg"),
        ("page/p2-l1", "p2.tif"),
    ]
    assert imported.left_out == (
        ("mets.xml", "its root is <mets>; <PcGts> (PAGE) and <alto> are read"),
    )


def test_lines_of_alto_are_read_with_polygon_or_box(tmp_path):
    make_images(tmp_path, "p1.png")
    source = make_alto(
        tmp_path / "p1.xml",
        '<TextLine ID="l1" HPOS="5" VPOS="6" WIDTH="90" HEIGHT="20" BASELINE="5 20 95 21">'
        '<Shape><Polygon POINTS="5 6 95 6 95 26"/></Shape>'
        '<String CONTENT="deux"/><SP/><String CONTENT="mots"/><HYP CONTENT="-"/></TextLine>'
        '<TextLine ID="l2" HPOS="5" VPOS="30" WIDTH="90" HEIGHT="20" BASELINE="48">'
        '<String CONTENT=""/></TextLine>',
    )
    first, second = import_manifest(source).utterances
    assert first.polygon == ((5.0, 6.0), (95.0, 6.0), (95.0, 26.0))
    assert first.baseline == ((5.0, 20.0), (95.0, 21.0))
    assert first.text == "deux mots-"
    assert second.polygon == ((5.0, 30.0), (95.0, 30.0), (95.0, 50.0), (5.0, 50.0))
    assert second.baseline is None
    assert second.text is None
    assert second.source == Source(source, "l2")


def test_what_cannot_become_an_item_is_named(tmp_path):
    make_images(tmp_path, "p1.png", "p2.png", "p4.png")
    make_page(tmp_path / "p1.xml", LINE.format(text="") + '<TextLine id="l2"/>')
    make_page(tmp_path / "p2.xml", "", image="p2.png")
    make_page(tmp_path / "p3.xml", LINE.format(text=""), image="gone.png")
    make_alto(tmp_path / "p4.xml", "", image="p4.png", unit="mm10")
    (tmp_path / "p5.xml").write_text("<PcGts><Page>", encoding="utf-8")
    bomb = '<!DOCTYPE PcGts [<!ENTITY a "b">]><PcGts>&a;</PcGts>'
    (tmp_path / "p6.xml").write_text(bomb, encoding="utf-8")
    imported = import_manifest(tmp_path)
    assert [u.id for u in imported.utterances] == ["p1-l1"]
    reasons = dict(imported.left_out)
    assert reasons["p1.xml line l2"] == (
        "has no polygon; find them first, with kraken or eScriptorium"
    )
    assert reasons["p2.xml"].endswith(
        "no lines of text; find them first, with kraken or eScriptorium"
    )
    assert reasons["p3.xml"] == "its image 'gone.png' is not beside it; copy it"
    assert reasons["p4.xml"] == "measures in mm10; export it anew with pixels"
    assert "not well-formed" in reasons["p5.xml"]
    assert "declares an entity" in reasons["p6.xml"]


def test_a_page_without_lines_alone_is_an_error(tmp_path):
    make_images(tmp_path, "p1.png")
    source = make_page(tmp_path / "p1.xml", "")
    with pytest.raises(ManifestError, match="no lines of text; find them first, with kraken"):
        import_manifest(source)


def test_a_folder_of_line_images_with_their_texts(tmp_path):
    make_images(tmp_path, "a/1.png", "a/2.jpg", "b/3.bin.png", "b/4.tif", "b/5.png")
    for name, text in (("a/1.gt.txt", "eins\n"), ("a/1.txt", "other"), ("a/2.txt", "zwei")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "b/3.gt.txt").write_text("drei", encoding="utf-8")
    (tmp_path / "b/5.gt.txt").write_text("", encoding="utf-8")
    imported = import_manifest(tmp_path)
    assert texts_of(imported) == {
        "a/1": "eins",
        "a/2": "zwei",
        "b/3.bin": "drei",
        "b/4": None,
        "b/5": "",
    }
    assert {u.group for u in imported.utterances} == {"a", "b"}
    assert {u.modality for u in imported.utterances} == {Modality.IMAGE}
    assert imported.left_out == (("a/1.txt", "no image of the same name beside it"),)
    assert imported.notes == ("1 of 5 images have no .gt.txt and are unlabelled",)


def test_a_folder_of_images_alone_is_taken_as_unlabelled_lines(tmp_path):
    make_images(tmp_path, "1.png", "2.png")
    assert texts_of(import_manifest(tmp_path)) == {"1": None, "2": None}


def test_an_image_alone_says_what_to_name(tmp_path):
    make_images(tmp_path, "1.png")
    with pytest.raises(ManifestError, match="an image; name the folder of its lines, or the PAGE"):
        import_manifest(tmp_path / "1.png")


@pytest.mark.parametrize(
    ("header", "columns"),
    [("image", {}), ("Bild", {"image": "Bild"}), ("file", {})],
)
def test_a_table_may_name_images(tmp_path, header, columns):
    make_images(tmp_path, "lines/1.png", "lines/2.tif")
    table = tmp_path / "texts.csv"
    table.write_text(
        f"{header},text,writer\nlines/1.png,eins,a\nlines/2,zwei,b\n", encoding="utf-8"
    )
    imported = import_manifest(table, columns=columns)
    assert [(u.id, u.modality, u.text) for u in imported.utterances] == [
        ("lines/1", Modality.IMAGE, "eins"),
        ("lines/2", Modality.IMAGE, "zwei"),
    ]
    assert imported.notes == (f"texts.csv: columns read as image={header}, text=text",)
    write_manifest(tmp_path / "m.jsonl", imported.utterances)
    assert read_manifest(tmp_path / "m.jsonl") == list(imported.utterances)


def test_a_table_names_recordings_or_images(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,text\n1.png,1.wav,x\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="--columns names audio and image; an item is one"):
        import_manifest(tmp_path / "t.csv", columns={"image": "a", "audio": "b"})
