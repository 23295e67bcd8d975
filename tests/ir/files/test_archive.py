import io
import random
import warnings
import zipfile

import numpy as np
import pytest
from damage import damaged_bytes

from scission.ir.files.archive import PACKED, array_of, arrays_of
from scission.ir.files.reading import WEIGHTS, UnreadableError, open_file


def names(path):
    with open_file(path, WEIGHTS) as file, arrays_of(file) as arrays:
        return {name: arrays[name].shape for name in arrays.files}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_by_name(tmp_path, save):
    save(tmp_path / "a.npz", x=np.ones((2, 3)), y=np.ones(4))
    assert names(tmp_path / "a.npz") == {"x": (2, 3), "y": (4,)}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_headers_say_what_arrays_are(tmp_path, save):
    named = np.zeros(3, [("größe", "f4")])  # whose header is in another encoding
    wide = np.zeros(2, [(f"field{index}", "f8") for index in range(5000)])  # whose header is longer than the first kind
    arrays = {"a": np.ones((2, 3), np.float16), "b": np.array(True), "c": np.asfortranarray(np.ones((4, 5)))}
    arrays |= {"named": named, "empty": np.zeros((0, 7), np.int8), "npy.npy": np.arange(3), "words": np.array(["x"])}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that such headers are of a newer kind
        save(tmp_path / "a.npz", **arrays)
        save(tmp_path / "wide.npz", wide=wide)
        with open_file(tmp_path / "a.npz", WEIGHTS) as file, arrays_of(file) as found:
            assert {name: found.form(name) for name in found.files} == {
                name: (array.shape, array.dtype) for name, array in arrays.items()
            }
        with open_file(tmp_path / "wide.npz", WEIGHTS) as file, arrays_of(file) as found:
            for read in (found.form, found.__getitem__):
                with pytest.raises(ValueError, match="large"):  # numpy reads no header of that length
                    read("wide")


def test_headers_of_objects_and_of_no_arrays_are_refused_as_the_arrays_are(tmp_path):
    np.savez(tmp_path / "a.npz", objects=np.array([{}], object))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("words", b"these are no array")
        archive.writestr("short.npy", b"\x93NUMPY\x01\x00\x76\x00{'descr")
        archive.writestr("none.npy", b"")
    with open_file(tmp_path / "a.npz", WEIGHTS) as file, arrays_of(file) as found:
        for name in found.files:
            with pytest.raises(ValueError) as whole:
                found[name]
            with pytest.raises(ValueError) as header:
                found.form(name)
            assert str(header.value) == str(whole.value)


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


def test_whatever_is_wrong_with_arrays_is_one_error(tmp_path):
    whole, path = io.BytesIO(), tmp_path / "a.npz"
    np.savez(whole, a=np.arange(9))
    rng = random.Random(0)
    found = set()
    for seed in range(200):
        data = damaged_bytes(rng, whole.getvalue())
        path.write_bytes(_with_members(rng, whole.getvalue()) if seed % 2 else data)
        try:
            with path.open("rb") as file, arrays_of(file) as arrays:
                found |= {arrays[name].shape for name in arrays.files}
        except (ValueError, OSError, MemoryError) as error:
            found.add(type(error))
    assert (9,) in found and ValueError in found


def test_an_array_that_is_none_or_an_archive_is_one_error(tmp_path):
    header = b"\x93NUMPY\x01\x00" + (9060).to_bytes(2, "little")
    nested = header + b"{'descr': " + b"(" * 9000 + b")" * 48 + b"}\n"
    for data in (b"", b"\x93NUMPY", b"PK\x03\x04", nested):
        (tmp_path / "a.npy").write_bytes(data)
        with (tmp_path / "a.npy").open("rb") as file, pytest.raises((ValueError, OSError, MemoryError)):
            array_of(file)
    np.savez(tmp_path / "b.npz", a=1)
    with (tmp_path / "b.npz").open("rb") as file, pytest.raises(ValueError, match="not one array"):
        array_of(file)


def _with_members(rng, data):
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        new.writestr(rng.choice(["a.npy", "words.txt"]), damaged_bytes(rng, old.read("a.npy")[:128]) + bytes(72))
    return made.getvalue()
