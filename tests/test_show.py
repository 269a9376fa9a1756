import re

import pytest

from ctcasr.pipeline.show import Sound, address_of


def test_a_page_shows_every_recording_with_its_texts(ctcasr, tone_run, tmp_path):
    page = tmp_path / "out" / "tones.html"

    ended = ctcasr("show", "-m", tone_run.folder, tone_run.manifest, "-o", page)

    assert ended.status == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == len(tone_run.texts)
    assert text.count("<audio") == len(tone_run.texts)
    for name in tone_run.texts:
        assert f"<h2>{name}</h2>" in text


def test_linked_recordings_are_found_from_the_page(ctcasr, tone_run, tmp_path):
    page = tmp_path / "tones.html"
    ctcasr("show", "-m", tone_run.folder, tone_run.manifest, "-o", page)

    addresses = re.findall(r'<audio [^>]*src="([^"]*)"', page.read_text(encoding="utf-8"))

    assert addresses
    assert all((tmp_path / address).is_file() for address in addresses)


def test_embedded_recordings_need_nothing_else(ctcasr, tone_run, tmp_path):
    page = tmp_path / "tones.html"

    ctcasr("show", "-m", tone_run.folder, tone_run.manifest, "-o", page, "--audio", "embed")

    text = page.read_text(encoding="utf-8")
    assert text.count('src="data:audio/flac;base64,') == len(tone_run.texts)
    assert str(tone_run.recordings) not in text


def test_a_part_of_a_file_is_played_alone(make_utterance, tmp_path):
    whole = make_utterance("rec", [0.1] * 8_000)
    part = make_utterance("rec", [0.1] * 8_000, offset=0.25, duration=0.5)

    assert address_of(whole, tmp_path, Sound.LINK) == "rec.wav"
    assert address_of(part, tmp_path, Sound.LINK) == "rec.wav#t=0.25,0.75"
    assert address_of(part, tmp_path, Sound.NONE) is None
    embedded = address_of(part, tmp_path, Sound.EMBED)
    assert embedded is not None
    assert len(embedded) < len(address_of(whole, tmp_path, Sound.EMBED) or "")


def test_a_sample_is_the_same_each_time(ctcasr, tone_run, tmp_path):
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    shown = []
    for page in pages:
        ctcasr("show", "-m", tone_run.folder, tone_run.manifest, "-o", page, "--sample", "3")
        shown.append(re.findall(r"<h2>(.*?)</h2>", page.read_text(encoding="utf-8")))

    assert len(shown[0]) == 3
    assert shown[0] == shown[1]


def test_a_page_is_not_overwritten_unless_told(ctcasr, tone_run, tmp_path):
    page = tmp_path / "tones.html"
    page.write_text("mine", encoding="utf-8")

    refused = ctcasr("show", "-m", tone_run.folder, tone_run.manifest, "-o", page)
    assert refused.status == 2
    assert "exists already" in refused.err
    assert page.read_text(encoding="utf-8") == "mine"

    arguments = ("show", "-m", tone_run.folder, tone_run.manifest, "-o", page, "--overwrite")
    assert ctcasr(*arguments).status == 0


def test_what_cannot_be_decoded_is_named_on_the_page(ctcasr, tone_run, tmp_path):
    broken = tmp_path / "recordings"
    broken.mkdir()
    (broken / "good.wav").write_bytes((tone_run.recordings / "0-ab.wav").read_bytes())
    (broken / "bad.wav").write_bytes(b"not audio")
    page = tmp_path / "page.html"

    ended = ctcasr("show", "-m", tone_run.folder, broken, "-o", page)

    assert ended.status == 3
    text = page.read_text(encoding="utf-8")
    assert "Not decoded" in text
    assert text.count("<svg") == 1


@pytest.mark.parametrize("reference", ["aß", "abcdabcdabcdabcdabcdabcdabcd"])
def test_a_reference_that_cannot_be_drawn_says_why(ctcasr, tone_run, tmp_path, reference):
    manifest = tmp_path / "one.jsonl"
    audio = (tone_run.recordings / "0-ab.wav").as_posix()
    line = f'{{"id": "x", "audio": "{audio}", "text": "{reference}"}}\n'
    manifest.write_text(line, encoding="utf-8")
    page = tmp_path / "page.html"

    assert ctcasr("show", "-m", tone_run.folder, manifest, "-o", page).status == 0

    text = page.read_text(encoding="utf-8")
    assert "cannot be written by the model" in text or "needs more frames" in text
