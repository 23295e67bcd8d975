import pytest

from scission.ir.errors import ScissionError
from scission.ir.io import files
from scission.ir.io.files import write


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_files_of_several_folders_are_written(tmp_path):
    (tmp_path / "a").mkdir()
    write({tmp_path / "x": b"1", tmp_path / "y": b"2", tmp_path / "a" / "x": b"3"}, overwrite=False)
    assert names(tmp_path) == ["a", "a/x", "x", "y"] and (tmp_path / "a" / "x").read_bytes() == b"3"
    write({}, overwrite=False)


def test_all_are_written_or_none(tmp_path, monkeypatch):
    (tmp_path / "y").write_bytes(b"old")
    with pytest.raises(ScissionError, match="y: exists already; choose another output"):
        write({tmp_path / "x": b"1", tmp_path / "y": b"2"}, overwrite=False)
    assert names(tmp_path) == ["y"]
    with pytest.raises(ScissionError, match="its folder does not exist"):
        write({tmp_path / "x": b"1", tmp_path / "nowhere" / "y": b"2"}, overwrite=False)
    assert names(tmp_path) == ["y"]
    write({tmp_path / "x": b"1", tmp_path / "y": b"2"}, overwrite=True)
    assert (tmp_path / "y").read_bytes() == b"2"


def test_what_another_process_writes_meanwhile_is_not_replaced(tmp_path, monkeypatch):
    real = files.place

    def late(*arguments):
        (tmp_path / "y").write_bytes(b"theirs")
        real(*arguments)

    monkeypatch.setattr(files, "place", late)
    with pytest.raises(ScissionError, match="y: exists already"):
        write({tmp_path / "x": b"1", tmp_path / "y": b"2"}, overwrite=False)
    assert names(tmp_path) == ["y"] and (tmp_path / "y").read_bytes() == b"theirs"
