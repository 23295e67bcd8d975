"""A folder of samples is its files in the order of their names; a file that does not fit is named."""

import numpy as np
import onnx
import pytest
from onnx.numpy_helper import from_array

from scission.runtime.calibrate.sources.columns import Room
from scission.runtime.calibrate.sources.sample_folder import files_of_folder, read_sample_folder
from scission.runtime.inputs.inputs import InputError
from scission.runtime.ort.tensor_spec import TensorSpec

X = TensorSpec(name="x", dtype="float32", shape=("batch", 3))
M = TensorSpec(name="m", dtype="int64", shape=("batch",))
ROWS = np.arange(36, dtype=np.float32).reshape(12, 3)


def read(folder, *spec):
    return read_sample_folder(folder, spec or [X], Room(None)).arrays


@pytest.mark.parametrize("rows", [False, True], ids=["a sample a file", "rows of samples"])
def test_files_come_in_the_order_of_their_numbers(tmp_path, rows):
    for number, row in enumerate(ROWS):
        one = row[None] if rows else row
        np.savez(tmp_path / f"s{number}.npz", x=one, m=[number] if rows else number, label=[number] if rows else number)
    found = read(tmp_path, X, M)
    np.testing.assert_array_equal(found["x"], ROWS)
    assert found["m"].tolist() == found["label"].tolist() == [*range(12)]
    assert [file.name for file in files_of_folder(tmp_path)][9:] == ["s9.npz", "s10.npz", "s11.npz"]


def test_files_of_one_array(tmp_path):
    for kind in ("npy", "pb"):
        folder = tmp_path / kind
        folder.mkdir()
        for number, row in enumerate(ROWS):
            path = folder / f"{number}.{kind}"
            if kind == "npy":
                np.save(path, row)
            else:
                path.write_bytes(from_array(row).SerializeToString())
        np.testing.assert_array_equal(read(folder)["x"], ROWS)
        with pytest.raises(InputError, match=f"0.{kind}: holds one array, and the model has 2 inputs"):
            read(folder, X, M)


def test_the_test_data_of_onnx(tmp_path):
    for number in range(12):
        place = tmp_path / f"test_data_set_{number}"
        place.mkdir()
        (place / "input_0.pb").write_bytes(from_array(ROWS[number : number + 1]).SerializeToString())
        (place / "input_1.pb").write_bytes(from_array(np.array([number])).SerializeToString())
        (place / "output_0.pb").write_bytes(from_array(np.zeros(7)).SerializeToString())
    found = read(tmp_path, X, M)
    np.testing.assert_array_equal(found["x"], ROWS)
    assert found["m"].tolist() == [*range(12)]
    np.testing.assert_array_equal(read(tmp_path / "test_data_set_3", X, M)["x"], ROWS[3:4])
    with pytest.raises(InputError, match="test_data_set_0: holds 2 inputs, and the model has 1"):
        read(tmp_path)


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(InputError, match=r"there are none of \.npz, \.npy, \.pb in it"):
        read(tmp_path)
    np.savez(tmp_path / "0.npz", x=ROWS[0])
    np.savez(tmp_path / "1.npz", x=ROWS[0][:2])
    with pytest.raises(InputError, match=r"1.npz: 'x' has shape \(2,\), and that of the first sample \(3,\)"):
        read(tmp_path)
    np.savez(tmp_path / "1.npz", x=ROWS[0], z=3)
    with pytest.raises(InputError, match=r"1.npz: 'z' is no input of the model \(\['x'\]\), and no labels"):
        read(tmp_path)
    np.savez(tmp_path / "1.npz", x=ROWS[None])
    with pytest.raises(
        InputError, match=r"1.npz: 'x' has shape \(1, 12, 3\), the model wants \(batch, 3\), or one row"
    ):
        read(tmp_path)
    np.savez(tmp_path / "1.npz", x=ROWS, y=np.zeros(5))
    with pytest.raises(InputError, match=r"1.npz: 'y' has shape \(5,\), and there are 12 samples"):
        read(tmp_path)
    (tmp_path / "1.npz").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"1.npz: not an .npz file"):
        read(tmp_path)
    np.save(tmp_path / "2.npy", ROWS)
    with pytest.raises(InputError, match=r"files of the kinds \['.npy', '.npz'\]; keep one kind"):
        read(tmp_path)


def test_tensors_that_are_none(tmp_path):
    (tmp_path / "0.pb").write_bytes(b"\xff\xff")
    with pytest.raises(InputError, match=r"0.pb: holds no tensor of ONNX"):
        read(tmp_path)
    elsewhere = onnx.TensorProto(dims=[3], data_type=1, data_location=onnx.TensorProto.EXTERNAL)
    (tmp_path / "0.pb").write_bytes(elsewhere.SerializeToString())
    with pytest.raises(InputError, match="its data are in another file"):
        read(tmp_path)


@pytest.mark.parametrize("names", [["1", "01"], ["01", "1"]])
def test_the_order_is_that_of_the_names_in_whatever_order_they_are_written(tmp_path, names):
    for name in names:
        np.save(tmp_path / f"{name}.npy", ROWS[len(name)])
    np.testing.assert_array_equal(read(tmp_path)["x"], [ROWS[2], ROWS[1]])
    assert [file.name for file in files_of_folder(tmp_path)] == ["01.npy", "1.npy"]


def test_names_of_every_kind(tmp_path):
    for number, name in enumerate(["1²2.npy", "999999999999999999.npy", "1000000000000000000.NPY", ".hidden.npy"]):
        with (tmp_path / name).open("wb") as file:
            np.save(file, ROWS[number])
    np.testing.assert_array_equal(read(tmp_path)["x"], ROWS[:3])


def test_one_value_for_all_samples(tmp_path):
    scale = TensorSpec(name="s", dtype="float32", shape=())
    for number in range(3):
        np.savez(tmp_path / f"{number}.npz", x=ROWS[number], s=np.float32(2), y=number)
    found = read(tmp_path, X, scale)
    assert found["s"].shape == () and found["s"] == 2 and found["y"].tolist() == [0, 1, 2]
    np.savez(tmp_path / "2.npz", x=ROWS[2], s=np.float32(3), y=2)
    with pytest.raises(InputError, match=r"2.npz: 's' is not what it is in the first sample"):
        read(tmp_path, X, scale)


def test_types_that_do_not_meet_are_refused(tmp_path):
    np.savez(tmp_path / "0.npz", m=np.int64(2**53 + 1))
    np.savez(tmp_path / "1.npz", m=np.uint64(1))
    with pytest.raises(InputError, match="'m' is of the types int64, uint64; give all samples the same"):
        read(tmp_path, M)
    np.savez(tmp_path / "1.npz", m=np.int32(1))
    assert read(tmp_path, M)["m"].tolist() == [2**53 + 1, 1]
