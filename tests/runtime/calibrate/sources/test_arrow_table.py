"""Parquet files and saved data sets are their columns; what is empty or ragged is named by row and column."""

import sys

import numpy as np
import pytest

from scission.runtime.calibrate.sources.arrow_table import is_saved_dataset, read_parquet, read_saved_dataset
from scission.runtime.calibrate.sources.columns import Room
from scission.runtime.inputs.inputs import InputError
from scission.runtime.ort.tensor_spec import TensorSpec

X = TensorSpec(name="x", dtype="float32", shape=("batch", 3))


def parquet(folder, **columns):
    arrow, files = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    files.write_table(arrow.table(columns), folder / "data.parquet", row_group_size=2)
    return folder / "data.parquet"


def read(path, *spec):
    return read_parquet(path, spec or [X], Room(None)).arrays


def test_columns_of_numbers_and_of_lists(tmp_path):
    rows = np.arange(15.0).reshape(5, 3)
    labels = [3, 1, 4, 1, 5]
    for columns in (
        {"a": rows[:, 0], "y": labels, "b": rows[:, 1], "c": rows[:, 2].astype(np.int32)},
        {"x": [*rows], "y": labels},
    ):
        found = read(parquet(tmp_path, **columns))
        np.testing.assert_array_equal(found["x"], rows)
        assert found["y"].tolist() == labels
    text = TensorSpec(name="word", dtype="string", shape=(None,))
    assert read(parquet(tmp_path, word=["a", "bc"]), text)["word"].tolist() == ["a", "bc"]
    square = TensorSpec(name="m", dtype="float32", shape=(None, 2, 2))
    assert read(parquet(tmp_path, m=[[[1, 2], [3, 4]]] * 3), square)["m"].shape == (3, 2, 2)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"x": [[1.0, 2, 3], [4.0, 5]]}, r"row 1, column 'x': holds \(2,\) of float64, and row 0 \(3,\) of float64"),
        ({"x": [[1.0, 2, 3], None]}, "row 1, column 'x': is empty"),
        ({"x": [[1.0, 2, 3]], "y": ["cat"]}, "column 'y' is of type string; give numbers; number the classes"),
        ({"x": [[1.0, 2, 3]], "text": ["cat"]}, r"no input for 1 columns \['text'\]"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, columns, told):
    with pytest.raises(InputError, match=f"data.parquet: .*{told}"):
        read(parquet(tmp_path, **columns))


def test_what_is_no_parquet_file(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1nonsensePAR1")
    with pytest.raises(InputError, match=r"bad.parquet: cannot be read"):
        read(tmp_path / "bad.parquet")
    with pytest.raises(InputError, match=r"none.parquet: there is no such file"):
        read(tmp_path / "none.parquet")


def test_without_pyarrow_the_command_that_installs_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match=r"what reads it is not installed: pip install pyarrow$"):
        read(tmp_path / "data.parquet")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"what reads it is not installed: pip install datasets$"):
        read_saved_dataset(tmp_path, [X], Room(None))


def test_saved_data_sets(tmp_path):
    arrow, datasets = pytest.importorskip("pyarrow"), pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    rows = np.arange(12.0).reshape(4, 3)
    table = arrow.table({"x": [*rows], "label": [0, 1, 2, 3]})
    whole = datasets.Dataset(datasets.table.InMemoryTable(table), fingerprint="whole")
    whole.select([2, 0], new_fingerprint="some").save_to_disk(tmp_path / "some")
    found = read_saved_dataset(tmp_path / "some", [X], Room(None)).arrays
    assert is_saved_dataset(tmp_path / "some") and found["label"].tolist() == [2, 0]
    np.testing.assert_array_equal(found["x"], rows[[2, 0]])
    datasets.DatasetDict({"train": whole, "test": whole}).save_to_disk(tmp_path / "splits")
    with pytest.raises(InputError, match=r"has the splits \['train', 'test'\]; give one of them: .*splits/train"):
        read_saved_dataset(tmp_path / "splits", [X], Room(None))
    assert len(read_saved_dataset(tmp_path / "splits" / "train", [X], Room(None)).arrays["x"]) == 4
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "state.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="bad: cannot be read by datasets"):
        read_saved_dataset(tmp_path / "bad", [X], Room(None))


def test_tensors_keep_their_order_and_nested_lists_are_not_mixed_up(tmp_path):
    arrow, files = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    kind = arrow.fixed_shape_tensor(arrow.float32(), (3, 2), permutation=[1, 0])
    storage = arrow.FixedSizeListArray.from_arrays(arrow.array(np.arange(12, dtype=np.float32)), 6)
    cells = arrow.ExtensionArray.from_storage(kind, storage)
    files.write_table(arrow.table({"x": cells}), tmp_path / "t.parquet")
    x = TensorSpec(name="x", dtype="float32", shape=("batch", 2, 3))
    np.testing.assert_array_equal(
        read_parquet(tmp_path / "t.parquet", [x], Room(None)).arrays["x"], cells.to_numpy_ndarray()
    )
    files.write_table(arrow.table({"x": [[[1.0, 2.0, 3.0]] * 2]}), tmp_path / "n.parquet")
    turned = TensorSpec(name="x", dtype="float32", shape=("batch", 1, 3, 2))
    with pytest.raises(InputError, match=r"'x' gets \(2, 3\) of a row, and the model wants \(batch, 1, 3, 2\)"):
        read_parquet(tmp_path / "n.parquet", [turned], Room(None))
    files.write_table(arrow.table({"x": [[1.0, None]], "__index_level_0__": [4]}), tmp_path / "e.parquet")
    with pytest.raises(InputError, match=r"row 0, column 'x': holds what is empty or no number"):
        read_parquet(tmp_path / "e.parquet", [TensorSpec(name="x", dtype="float32", shape=("b", 2))], Room(None))
