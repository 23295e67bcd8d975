import numpy as np
import pytest

from scission.ir.files.archive import PACKED, arrays_of
from scission.ir.files.reading import WEIGHTS, UnreadableError, open_file


def names(path):
    with open_file(path, WEIGHTS) as file, arrays_of(file) as arrays:
        return {name: arrays[name].shape for name in arrays.files}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_by_name(tmp_path, save):
    save(tmp_path / "a.npz", x=np.ones((2, 3)), y=np.ones(4))
    assert names(tmp_path / "a.npz") == {"x": (2, 3), "y": (4,)}


def test_what_unpacks_to_far_more_than_it_is_long_is_not_read(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(1 << 20, np.uint8))
    size = (tmp_path / "a.npz").stat().st_size
    assert PACKED * size < 1 << 20 and names(tmp_path / "a.npz") == {"x": (1 << 20,)}  # so little always may be
    monkeypatch.setattr("scission.ir.files.archive.HOLES", 1 << 19)
    with pytest.raises(UnreadableError, match=f"is {size} bytes long and unpacks to 1048"):
        names(tmp_path / "a.npz")


def test_what_is_no_archive_is_said_to_be_none(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    with pytest.raises(ValueError, match="no archive"):
        names(tmp_path / "a.npy")
