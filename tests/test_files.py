import pytest

from ctcasr.errors import OutputError
from ctcasr.files import atomic_write, write_text


def write_half(path, error):
    with atomic_write(path) as file:
        file.write(b"half")
        raise error


def test_text_is_written_as_utf8_with_lf_ends(tmp_path):
    path = tmp_path / "deep" / "er" / "naïve.txt"

    write_text(path, "é\nß\n")

    assert path.read_bytes() == "é\nß\n".encode()


def test_what_stood_there_stays_whole_when_writing_fails(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "before")

    with pytest.raises(RuntimeError):
        write_half(path, RuntimeError())

    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "before")

    with atomic_write(path) as file:
        file.write(b"after")
        file.flush()
        assert path.read_text() == "before"

    assert path.read_text() == "after"


def test_an_interrupted_write_leaves_nothing_behind(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "a", KeyboardInterrupt())

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_in_one_line(tmp_path):
    path = tmp_path / "a.txt"

    with pytest.raises(OutputError) as caught:
        write_half(path, OSError(28, "No space left on device"))

    assert str(caught.value) == (
        f"{path}: cannot be written (No space left on device); what stood there before is "
        f"unchanged; free some space or name another place"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file/inside.txt", "folder"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "full").mkdir(parents=True)

    with pytest.raises(OutputError, match=r"cannot be written \(.*\); what stood there"):
        write_text(tmp_path / place, "text")

    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]
