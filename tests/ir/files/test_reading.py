import os
import threading

import pytest
from strange_files import FORMS, strange

from scission.ir.files.reading import (
    DATA,
    HELD,
    PLAN,
    Kind,
    UnreadableError,
    open_file,
    path_of,
    read_bytes,
    read_text,
)

SAID = {
    "pipe": "is not a regular file but a pipe",
    "socket": "is not a regular file but a socket",
    "folder": "is not a regular file but a folder",
    "device": "is not a regular file but a device",
    "sparse": "holes that nobody wrote",
    "dangling": "No such file",
    "loop": "symbolic links",
}


@pytest.mark.parametrize("form", FORMS)
def test_only_regular_files_are_read(form, tmp_path):
    with pytest.raises(OSError) as caught:
        open_file(strange(form, tmp_path / "it"), DATA)
    assert SAID[form] in caught.value.strerror
    assert not isinstance(caught.value, UnreadableError) or str(caught.value) == caught.value.strerror


def test_a_file_is_read_whole(tmp_path):
    (tmp_path / "it").write_bytes("é\n".encode())
    (tmp_path / "link").symlink_to("it")
    os.link(tmp_path / "it", tmp_path / "other")
    for name in ("it", "link", "other"):
        assert read_bytes(tmp_path / name, DATA) == "é\n".encode() and read_text(tmp_path / name, DATA) == "é\n"
    with open_file(tmp_path / "it", DATA) as file:
        assert path_of(file) and not os.get_inheritable(file.fileno())


def test_a_kind_has_a_most(tmp_path):
    (tmp_path / "it").write_bytes(bytes(9))
    assert read_bytes(tmp_path / "it", Kind("a word", 9)) == bytes(9)
    with pytest.raises(UnreadableError, match="is 9 bytes long, and a word has 8 at the most"):
        open_file(tmp_path / "it", Kind("a word", 8))
    with (tmp_path / "plan").open("wb") as file:
        file.truncate(PLAN.most + 1)
    with pytest.raises(UnreadableError, match="a plan has"):
        open_file(tmp_path / "plan", PLAN)


@pytest.mark.parametrize("read", [True, False])
def test_holes_may_be_most_of_a_file_and_no_more(tmp_path, monkeypatch, read):
    """The first and last pages of a long file were written; blocks say so, and the pieces between holes."""
    held, size = 8192, HELD * 8192 + (0 if read else 4096)
    monkeypatch.setattr("scission.ir.files.reading.HOLES", 1 << 12)
    with (tmp_path / "it").open("wb") as file:
        file.write(bytes(held - 4096))
        file.truncate(size - 4096)
        file.seek(size - 4096)
        file.write(bytes(4096))
    if read:
        assert len(read_bytes(tmp_path / "it", DATA)) == size
    else:
        with pytest.raises(UnreadableError, match=f"is {size} bytes long and holds {held} of them"):
            open_file(tmp_path / "it", DATA)


def test_what_a_file_system_packs_is_no_hole(tmp_path, monkeypatch):
    """It has fewer blocks than bytes; the bytes are there."""
    import scission.ir.files.reading as reading

    (tmp_path / "it").write_bytes(bytes(1 << 16))
    monkeypatch.setattr(reading, "HOLES", 1)
    monkeypatch.setattr(reading, "BLOCK", 0)
    assert len(read_bytes(tmp_path / "it", DATA)) == 1 << 16


def test_a_name_that_leads_elsewhere_by_now_is_found_out(tmp_path, monkeypatch):
    """Between the question and the opening a pipe takes the place: opening does not wait, and it is told."""
    import scission.ir.files.reading as reading

    (tmp_path / "it").write_bytes(b"1")
    asked = os.stat
    monkeypatch.setattr(reading.os, "stat", lambda path: (asked(path), path.unlink(), os.mkfifo(path))[0])
    done = []

    def read():
        try:
            open_file(tmp_path / "it", DATA)
        except UnreadableError as error:
            done.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert done == ["is not a regular file but a pipe"]


def test_a_library_finds_the_file_that_is_open(tmp_path):
    (tmp_path / "it").write_bytes(b"one")
    with open_file(tmp_path / "it", DATA) as file:
        (tmp_path / "it").rename(tmp_path / "gone")
        (tmp_path / "it").write_bytes(b"other")
        if path_of(file) != os.fspath(tmp_path / "it"):  # where the system has such paths
            assert read_bytes(path_of(file), DATA) == b"one"


def test_no_descriptor_stays_open(tmp_path):
    strange("pipe", tmp_path / "pipe")
    strange("sparse", tmp_path / "sparse")
    lowest = os.dup(0)
    os.close(lowest)
    for name in ("pipe", "sparse") * 20:
        with pytest.raises(UnreadableError):
            open_file(tmp_path / name, DATA)
    again = os.dup(0)
    os.close(again)
    assert again == lowest  # the next that is free
