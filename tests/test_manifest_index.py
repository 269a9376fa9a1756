import hashlib
import json
import math
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctcasr.errors import ManifestError
from ctcasr.manifest import read_manifest
from ctcasr.manifest.index import IndexedManifest, index_path

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)


def write(path, records, *, between="\n"):
    path.write_bytes(between.join(json.dumps(record) for record in records).encode() + b"\n")
    return path


def item(number, **fields):
    return {"id": f"u{number}", "audio": f"{number}.wav", "text": "a", **fields}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spoken=st.lists(st.tuples(texts, st.none() | st.floats(0.1, 100)), min_size=1, max_size=8),
    between=st.sampled_from(["\n", "\r\n", "\n\n"]),
)
def test_an_indexed_manifest_has_the_items_of_the_whole(tmp_path, spoken, between):
    records = [
        item(number, text=text, **({"duration": seconds} if seconds else {}))
        for number, (text, seconds) in enumerate(spoken)
    ]
    path = write(tmp_path / "m.jsonl", records, between=between)
    whole = read_manifest(path)

    indexed = IndexedManifest(path)

    assert list(indexed) == whole
    assert indexed[::-1] == whole[::-1]
    assert indexed[-1] == whole[-1]
    expected = [math.nan if one.duration is None else one.duration for one in whole]
    np.testing.assert_array_equal(indexed.seconds, np.array(expected, np.float32))


def test_a_second_opening_reads_no_line(tmp_path, monkeypatch):
    path = write(tmp_path / "m.jsonl", [item(0), item(1)])
    IndexedManifest(path)
    monkeypatch.setattr("ctcasr.manifest.index._make_index", None)

    assert [one.id for one in IndexedManifest(path)] == ["u0", "u1"]


@pytest.mark.parametrize("damage", ["longer", "touched", "cut", "other"])
def test_an_index_of_another_state_is_made_anew(tmp_path, damage):
    path = write(tmp_path / "m.jsonl", [item(0), item(1)])
    IndexedManifest(path)
    index = index_path(path)
    if damage == "longer":
        write(path, [item(number) for number in range(3)])
    if damage == "touched":
        write(path, [item(1), item(0)])
        os.utime(path, ns=(0, 12345))
    if damage == "cut":
        index.write_bytes(index.read_bytes()[:100])
    if damage == "other":
        index.write_bytes(b"no index")

    assert list(IndexedManifest(path)) == read_manifest(path)


def test_an_index_of_another_release_is_made_anew(tmp_path):
    path = write(tmp_path / "m.jsonl", [item(0), item(1)])
    IndexedManifest(path)
    index = index_path(path)
    records = np.load(index)
    records["seconds"][0] = 1
    with index.open("wb") as file:
        np.save(file, records)

    IndexedManifest(path)

    assert np.load(index)["seconds"][0] != 1


def test_an_index_knows_the_digest_of_its_manifest(tmp_path):
    path = write(tmp_path / "m.jsonl", [item(0)])

    for _ in range(2):  # as it is made, and from the file
        assert IndexedManifest(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("chance", [False, True])
def test_an_id_given_twice_is_refused_and_a_like_hash_is_not(tmp_path, monkeypatch, chance):
    if chance:
        monkeypatch.setattr("ctcasr.manifest.index.hash", lambda name: 7, raising=False)
    path = write(tmp_path / "m.jsonl", [item(0), item(1), item(2)])
    assert len(IndexedManifest(path)) == 3

    path = write(tmp_path / "twice.jsonl", [item(0), item(1), item(0)])
    with pytest.raises(ManifestError, match=r"items 0 and 2 both have the id 'u0'; give every"):
        IndexedManifest(path)


def test_another_process_maps_the_same_index(tmp_path):
    manifest = IndexedManifest(write(tmp_path / "m.jsonl", [item(n) for n in range(5_000)]))

    sent = pickle.dumps(manifest)

    assert len(sent) < 1_000
    assert pickle.loads(sent)[4_999] == manifest[4_999]


def test_threads_may_share_one(tmp_path):
    path = write(tmp_path / "m.jsonl", [item(number) for number in range(500)])
    indexed = IndexedManifest(path)

    with ThreadPoolExecutor(4) as pool:
        found = [one.id for one in pool.map(indexed.__getitem__, range(500))]

    assert found == [f"u{number}" for number in range(500)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the manifest is empty"),
        (b"\x1f\x8b\x08", "compressed, and cannot be indexed; unpack it"),
        (b'{"id": "a", "audio": "a.wav"}\n{"id"', "line 2: cannot be read"),
        (b'{"audio": "a.wav"}\n', "line 1: an indexed manifest needs an object with 'id'"),
        (b"[1]\n", "line 1: an indexed manifest needs an object with 'id'"),
    ],
)
def test_what_cannot_be_indexed_is_named(tmp_path, content, message):
    path = tmp_path / "m.jsonl"
    path.write_bytes(content)

    with pytest.raises(ManifestError, match=message):
        IndexedManifest(path)
    assert not index_path(path).exists()


def test_a_mistake_in_a_line_is_met_when_it_is_read(tmp_path):
    path = write(tmp_path / "m.jsonl", [item(0), item(1, offset=-1)])
    indexed = IndexedManifest(path)

    assert indexed[0].id == "u0"
    with pytest.raises(ManifestError, match="item 1"):
        indexed[1]
