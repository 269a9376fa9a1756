"""Images of lines all the way: the commands that train, check, read, align, score and draw them."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ctcasr as package
from ctcasr.bundle import load
from ctcasr.config import ImageConfig, load_config, parse_config
from ctcasr.errors import ConfigError, ItemError
from ctcasr.frontends.image.line_image import LineImage, level_paper
from ctcasr.manifest import Modality
from ctcasr.pipeline.train import train
from tests.image_cases import HEIGHT, draw_line
from tests.ink_letters import INK_TEXTS

PAGE = """<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15">
<Page imageFilename="page.png"><TextRegion id="r">{lines}</TextRegion></Page></PcGts>"""
NAMESPACE = "{http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15}"


@dataclass(frozen=True)
class ImageRun:
    """A finished training on images: its run folder, and what it learned from."""

    folder: Path
    manifest: Path
    config: Path


@pytest.fixture(scope="session")
def image_run(tmp_path_factory) -> ImageRun:
    """A tiny model that reads its eight lines without error."""
    root = tmp_path_factory.mktemp("images")
    rows = []
    for number, text in enumerate(INK_TEXTS):
        Image.fromarray(draw_line(text, seed=number)).save(root / f"l{number}.png")
        rows.append({"id": f"l{number}", "image": f"l{number}.png", "text": text})
    manifest, config = root / "images.jsonl", root / "images.yaml"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config.write_text(
        f"""
data: {{train: {manifest.as_posix()}, dev: {manifest.as_posix()}, batch_size: 2}}
frontend: {{kind: columns, height: 24, normalisation: []}}
augment: {{rotation_degrees: [0, 0], slant: [0, 0], scale: [1, 1], stretch: [0.9, 1.1], shift: 0,
          elastic: 0, stroke_width: [0, 0], contrast: [1, 1], noise: 0.02, cut_outs: 0}}
encoder: {{subsampling: conv2d, maps: [6, 8], stride: 2, channels: 24, layers: 1, hidden: 32,
           dropout: 0.0}}
optim: {{peak_lr: 0.02, warmup_steps: 5}}
training: {{epochs: 80, average: 1, precision: fp32}}
""",
        encoding="utf-8",
    )
    train(load_config(config), run=root / "run", device="cpu")
    return ImageRun(root / "run", manifest, config)


@pytest.fixture
def page(tmp_path) -> Path:
    """A PAGE file of three lines on one image; the last lies off it."""
    lines = [draw_line(text, seed=n) for n, text in enumerate(INK_TEXTS[:2])]
    width = max(line.shape[1] for line in lines)
    picture = np.full((2 * HEIGHT + 40, width + 100), 240, dtype=np.uint8)
    elements = []
    for number, line in enumerate(lines):
        top, right = 20 + number * HEIGHT, 100 + line.shape[1]
        picture[top : top + HEIGHT, 100:right] = line
        corners = (
            f"100,{top} {right - 1},{top} {right - 1},{top + HEIGHT - 1} 100,{top + HEIGHT - 1}"
        )
        elements.append(f'<TextLine id="t{number}"><Coords points="{corners}"/></TextLine>')
    elements.append('<TextLine id="off"><Coords points="0,900 9,900 9,990"/></TextLine>')
    folder = tmp_path / "scans"
    folder.mkdir()
    Image.fromarray(picture).save(folder / "page.png")
    path: Path = folder / "page.xml"
    path.write_text(PAGE.format(lines="".join(elements)), encoding="utf-8")
    return path


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_tiny_model_reads_its_lines_and_places_words_in_pixels(ctcasr, image_run):
    ended = ctcasr("transcribe", "-m", image_run.folder, image_run.manifest, "-f", "jsonl")

    assert ended.status == 0
    read = lines_of(ended.out)
    assert [line["text"] for line in read] == INK_TEXTS
    for number, line in enumerate(read):
        width = draw_line(INK_TEXTS[number], seed=number).shape[1]
        assert (line["axis"], line["duration"]) == ("px", width)
        assert [word["text"] for word in line["words"]] == INK_TEXTS[number].split()
        edges = [edge for word in line["words"] for edge in (word["start"], word["end"])]
        assert edges == sorted(edges)
        assert edges[0] == pytest.approx(0, abs=4)
        assert edges[-1] == pytest.approx(width, abs=4)
    assert ended.err.startswith("8 items, ")


def test_words_end_in_the_gap_between_them(ctcasr, image_run):
    ended = ctcasr("transcribe", "-m", image_run.folder, image_run.manifest, "-f", "jsonl")

    for number, line in enumerate(lines_of(ended.out)):
        dark = draw_line(INK_TEXTS[number], seed=number).min(axis=0) < 128
        for word in line["words"][:-1]:
            end = round(word["end"])
            assert not dark[end - 4 : end + 4].any()


def test_lines_of_a_page_are_cut_out_and_what_is_read_is_written_back(
    ctcasr, image_run, page, tmp_path
):
    ended = ctcasr(
        "transcribe",
        "-m",
        image_run.folder,
        page,
        "-f",
        "page",
        "-o",
        tmp_path / "out",
        "--beam",
        8,
    )

    assert ended.status == 3
    assert "failed: page-off: the polygon about (0, 900) lies off the page" in ended.err
    root = ElementTree.parse(tmp_path / "out" / "page.xml").getroot()
    texts = {
        line.get("id"): [
            ("".join(one.itertext()), set(one.attrib)) for one in line.iter(f"{NAMESPACE}TextEquiv")
        ]
        for line in root.iter(f"{NAMESPACE}TextLine")
    }
    assert texts == {
        "t0": [(INK_TEXTS[0], {"conf"})],
        "t1": [(INK_TEXTS[1], {"conf"})],
        "off": [],
    }


def test_words_of_a_page_are_placed_on_the_page(ctcasr, image_run, page):
    ended = ctcasr("transcribe", "-m", image_run.folder, page, "-f", "jsonl")

    first, second, failed = lines_of(ended.out)
    assert [first["id"], second["id"], failed["id"]] == ["page-t0", "page-t1", "page-off"]
    assert first["words"][0]["start"] == pytest.approx(100, abs=4)
    for word in second["words"]:
        left, right = word["start"], word["end"]
        corners = [left, 100, right, 100, right, 180, left, 180]
        assert np.ravel(word["polygon"]) == pytest.approx(corners, abs=0.1)
    assert failed["error"]["kind"] == "ImageError"


def test_a_page_is_never_written_over_itself(ctcasr, image_run, page):
    before = page.read_bytes()

    ended = ctcasr(
        "transcribe", "-m", image_run.folder, page, "-f", "page", "-o", page.parent, "--overwrite"
    )

    assert ended.status == 2
    assert "is one of the inputs; name another file" in ended.err
    assert page.read_bytes() == before


def test_a_page_can_go_to_one_file_or_to_standard_output(ctcasr, image_run, page, tmp_path):
    to_file = tmp_path / "read.xml"
    assert (
        ctcasr("transcribe", "-m", image_run.folder, page, "-f", "page", "-o", to_file).status == 3
    )
    printed = ctcasr("transcribe", "-m", image_run.folder, page, "-f", "page")

    assert printed.out == to_file.read_text(encoding="utf-8")


def test_only_lines_of_pages_can_be_written_into_pages(ctcasr, image_run, page, tmp_path):
    ended = ctcasr("transcribe", "-m", image_run.folder, image_run.manifest, "-f", "page")
    assert ended.status == 2
    assert "-f page: l0 is no line of a PAGE or ALTO file" in ended.err
    ended = ctcasr("transcribe", "-m", image_run.folder, page, "-f", "alto")
    assert ended.status == 2
    assert "page.xml is page; ask for -f page" in ended.err


def test_a_text_file_of_a_page_has_a_line_for_each(ctcasr, image_run, page, tmp_path):
    ended = ctcasr(
        "transcribe", "-m", image_run.folder, page, "-f", "txt", "-o", tmp_path / "out.txt"
    )

    assert ended.status == 3
    assert (tmp_path / "out.txt").read_text(encoding="utf-8").splitlines() == [*INK_TEXTS[:2], ""]


def test_the_model_says_what_it_reads(ctcasr, image_run):
    ended = ctcasr("info", image_run.folder)

    assert "reads         image, columns" in ended.out
    assert load(image_run.folder).header["sample_rate"] is None
    assert load(image_run.folder).header["modality"] == "image"


def test_python_reads_paths_and_images(image_run, tmp_path):
    recognizer = package.load(image_run.folder)
    grey = draw_line("lot", seed=2)
    Image.fromarray(grey).save(tmp_path / "one.png")

    assert recognizer.transcribe(LineImage.checked(level_paper(grey), item="a")).text == "lot"
    assert recognizer.transcribe(tmp_path / "one.png").text == "lot"


def test_models_refuse_what_they_have_not_learned_to_read(ctcasr, tone_run, image_run, tmp_path):
    ended = ctcasr("transcribe", "-m", tone_run.folder, image_run.manifest)

    assert ended.status == 3
    assert ended.err.count("the model reads recordings, and this is listed or named as images") == 8
    with pytest.raises(ItemError, match="image: model run reads recordings"):
        load(tone_run.folder).transcribe(LineImage.checked(np.zeros((9, 9)), item="a"))


def test_blank_paper_gives_an_empty_text(image_run):
    blank = LineImage.checked(np.zeros((60, 300)), item="a")
    assert package.load(image_run.folder).transcribe(blank).text == ""


def test_scores_and_pictures_come_as_for_recordings(ctcasr, image_run, tmp_path):
    ended = ctcasr(
        "evaluate", "-m", image_run.folder, image_run.manifest, "-o", tmp_path / "e", "--beam", 8
    )

    assert ended.status == 0
    results = json.loads((tmp_path / "e" / "results.json").read_text(encoding="utf-8"))
    assert results["normalised"]["char"]["rate"] == 0
    assert results["rtf"] is None
    assert results["utterances"][0]["measured"]["unit"] == "px"
    report = (tmp_path / "e" / "report.html").read_text(encoding="utf-8")
    assert 'class="line-image"' in report
    assert "<audio" not in report


def test_a_page_shows_lines(ctcasr, image_run, tmp_path):
    ended = ctcasr("show", "-m", image_run.folder, image_run.manifest, "-o", tmp_path / "show.html")

    assert ended.status == 0
    shown = (tmp_path / "show.html").read_text(encoding="utf-8")
    assert shown.count('class="line-image"') == 8


def test_known_texts_are_aligned(ctcasr, image_run, tmp_path):
    ended = ctcasr(
        "align", "-m", image_run.folder, image_run.manifest, "-o", tmp_path / "out.jsonl"
    )

    assert ended.status == 0
    line = lines_of((tmp_path / "out.jsonl").read_text(encoding="utf-8"))[1]
    assert [word["text"] for word in line["words"]] == ["volt", "tilt"]
    assert "".join(label["text"] for label in line["labels"]) == "volt tilt"


def test_check_takes_images_without_a_configuration_and_names_what_is_odd(
    ctcasr, image_run, tmp_path
):
    rows = [json.loads(line) for line in image_run.manifest.read_text().splitlines()]
    for row in rows:
        row["image"] = str(image_run.manifest.parent / row["image"])
    for name, grey in (
        ("white", np.full((60, 300), 250)),
        ("dark", np.where(draw_line("lot", seed=1) < 128, 240, 30)),
        ("low", draw_line("lot", seed=1)[20:32]),
    ):
        Image.fromarray(grey.astype(np.uint8)).save(tmp_path / f"{name}.png")
        rows.append({"id": name, "image": f"{name}.png", "text": "lot"})
    (tmp_path / "torn.png").write_bytes((tmp_path / "dark.png").read_bytes()[:90])
    rows += [
        {"id": "torn", "image": "torn.png", "text": "lot"},
        {"id": "gone", "image": "gone.png", "text": "lot"},
        {"id": "untold", "image": rows[2]["image"], "text": ""},
        {"id": "off", "image": rows[2]["image"], "polygon": [[9, 900], [99, 900], [99, 990]]},
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    ended = ctcasr("check", manifest)

    assert ended.status == 3
    for found in (
        "white: 0 dark pixels in 300 x 60 px for 3 characters",
        "is ink; is it light on dark?",
        "low: ",
        "lines should be 16 px high or more",
        "torn: ",
        "is no whole PNG, JPEG or TIFF",
        "gone: cannot read",
        "dark pixels in ",
        "off: the polygon about (9, 900) lies off the page",
        "'l2', 'untold': the same content, but with different texts",
    ):
        assert found in ended.out


def test_a_stopped_run_ends_as_one_that_never_stopped(image_run, tmp_path, ctcasr):
    def run(folder, *more):
        return ctcasr(
            "train", image_run.config, "-o", folder, "--set", "training.epochs=3",
            "--set", "augment.elastic=0.05", "--device", "cpu", *more,
        )  # fmt: skip

    assert run(tmp_path / "whole").status == 0
    assert run(tmp_path / "cut").status == 0
    for later in sorted((tmp_path / "cut" / "checkpoints").iterdir())[1:]:
        for file in later.iterdir():
            file.unlink()
        later.rmdir()
    (tmp_path / "cut" / "model.safetensors").unlink()

    assert run(tmp_path / "cut", "--resume").status == 0
    assert (tmp_path / "cut" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()


def test_what_is_written_from_right_to_left_is_mirrored_unless_told():
    values = {"frontend": {"kind": "columns"}, "text": {"direction": "rtl"}}
    config = parse_config(values)
    assert isinstance(config, ImageConfig)
    assert config.frontend.mirror
    assert config.modality is Modality.IMAGE
    unmirrored = parse_config(values, overrides=["frontend.mirror=false"])
    assert isinstance(unmirrored, ImageConfig)
    assert not unmirrored.frontend.mirror
    plain = parse_config({"frontend": {"kind": "columns"}})
    assert isinstance(plain, ImageConfig)
    assert not plain.frontend.mirror


def test_keys_of_another_modality_are_unknown():
    with pytest.raises(ConfigError, match=r"frontend\.sample_rate: unknown key"):
        parse_config({"frontend": {"kind": "columns", "sample_rate": 8_000}})
    with pytest.raises(ConfigError, match=r"augment\.stroke_drop: unknown key"):
        parse_config({"frontend": {"kind": "columns"}, "augment": {"stroke_drop": 0}})
    with pytest.raises(ConfigError, match="which only recordings have"):
        parse_config({"frontend": {"kind": "columns"}, "heads": {"frame": {"field": "phones"}}})
