"""Pages with texts written in, held against the readers that read them back."""

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ctcasr.manifest import import_manifest
from ctcasr.reporting.pages import fill_alto, fill_page
from ctcasr.transcript import Alternative, Failure, TimedWord, Transcript

PC = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2013-07-15"
COORDS = '<Coords points="1,2 90,2 90,20"/>'
PAGE = f"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?><!-- by hand -->
<PcGts xmlns="{PC}" xmlns:x="urn:x"><Page imageFilename="p1.png" x:seen="yes"><TextRegion id="r1">
{COORDS}<TextLine id="l1">{COORDS}<Baseline points="1,18 90,18"/>
<Word id="w1">{COORDS}<TextEquiv><Unicode>old</Unicode></TextEquiv></Word>
<TextEquiv index="1"><Unicode>old</Unicode></TextEquiv><TextStyle bold="true"/></TextLine>
<TextLine id="l2">{COORDS}<TextEquiv><Unicode>kept</Unicode></TextEquiv></TextLine>
<TextEquiv conf="0.1"><Unicode>old
kept</Unicode></TextEquiv></TextRegion></Page></PcGts>"""
ALTO = """<a:alto xmlns:a="http://www.loc.gov/standards/alto/ns-v4#"><a:Layout><a:Page>
<a:TextLine ID="l1" HPOS="1" VPOS="2" WIDTH="89" HEIGHT="18"><a:String CONTENT="old"/></a:TextLine>
</a:Page></a:Layout></a:alto>"""
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).map(
    lambda text: " ".join(text.split())
)


def transcript(text, **values):
    return Transcript(id="a", source=None, model={}, decoder={}, text=text, **values)


def elements(filled: str, name: str):
    return list(ElementTree.fromstring(filled).iter(f"{{{PC}}}{name}"))


def read_back(filled: str, folder):
    Image.new("L", (100, 30), 255).save(folder / "p1.png")
    (folder / "p1.xml").write_text(filled, encoding="utf-8")
    return {u.id: u.text for u in import_manifest(folder / "p1.xml").utterances}


def test_a_filled_page_reads_back_with_its_new_texts(tmp_path):
    filled = fill_page(PAGE.encode(), {"l1": transcript("neu & <gut>", confidence=0.98765)})
    assert read_back(filled, tmp_path) == {"p1-l1": "neu & <gut>", "p1-l2": "kept"}
    (line, _) = elements(filled, "TextLine")
    assert [child.tag.rpartition("}")[2] for child in line] == [
        "Coords",
        "Baseline",
        "TextEquiv",
        "TextStyle",
    ]
    assert line[2].attrib == {"conf": "0.9877"}


def test_the_rest_of_a_page_stays_as_it_was():
    filled = fill_page(PAGE.encode(), {})
    assert '<!-- by hand --><PcGts xmlns="' in filled
    assert 'x:seen="yes"' in filled
    assert "old\nkept" in filled
    assert "ns0" not in filled


def test_the_text_of_a_region_is_that_of_its_lines():
    filled = fill_page(PAGE.encode(), {"l1": transcript("neu")})
    equivalent = elements(filled, "TextRegion")[0].findall(f"{{{PC}}}TextEquiv")
    assert [("".join(one.itertext()), one.attrib) for one in equivalent] == [("neu\nkept", {})]


def test_of_several_texts_the_best_has_the_lowest_index(tmp_path):
    several = (Alternative("best", -1.0), Alternative("second", -2.0))
    filled = fill_page(PAGE.encode(), {"l1": transcript("best", nbest=several)})
    found = elements(filled, "TextLine")[0].findall(f"{{{PC}}}TextEquiv")
    assert [("".join(one.itertext()), one.get("index")) for one in found] == [
        ("best", "0"),
        ("second", "1"),
    ]
    assert read_back(filled, tmp_path)["p1-l1"] == "best"


def test_a_line_that_failed_keeps_what_it_said(tmp_path):
    failed = transcript("", error=Failure("ImageError", "gone"))
    assert read_back(fill_page(PAGE.encode(), {"l1": failed}), tmp_path)["p1-l1"] == "old"


def test_alto_has_a_string_for_each_word_where_it_stands(tmp_path):
    words = (TimedWord("deux", 3.2, 40.0, 0.9), TimedWord("mots", 44.6, 88.0, None))
    filled = fill_alto(ALTO.encode(), {"l1": transcript("deux mots", words=words, axis="px")})
    line = next(
        ElementTree.fromstring(filled).iter("{http://www.loc.gov/standards/alto/ns-v4#}TextLine")
    )
    place = {"VPOS": "2", "HEIGHT": "18"}
    assert [(child.tag.rpartition("}")[2], child.attrib) for child in line] == [
        ("String", {"CONTENT": "deux", "HPOS": "3", "WIDTH": "37", "WC": "0.9000", **place}),
        ("SP", {}),
        ("String", {"CONTENT": "mots", "HPOS": "45", "WIDTH": "43", **place}),
    ]
    assert read_back(filled, tmp_path) == {"p1-l1": "deux mots"}


@pytest.mark.parametrize("fill", [fill_page, fill_alto])
@given(text=TEXTS)
def test_any_text_comes_back(fill, text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    content = PAGE if fill is fill_page else ALTO
    filled = fill(content.encode(), {"l1": transcript(text)})
    assert read_back(filled, folder)["p1-l1"] == (text or None)
