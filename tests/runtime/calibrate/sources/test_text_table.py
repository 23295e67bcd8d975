"""A table as text is its numbers, and a cell that is none is named by line and column."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scission.runtime.calibrate.sources.columns import Room
from scission.runtime.calibrate.sources.text_table import ROWS, read_text_table
from scission.runtime.inputs.inputs import InputError
from scission.runtime.ort.memory import NoMemoryError
from scission.runtime.ort.tensor_spec import TensorSpec

NUMBERS = st.floats(-1e9, 1e9)
X = TensorSpec(name="x", dtype="float32", shape=("batch", 3))


def read(path, spec=(X,), most=None):
    return read_text_table(path, spec, Room(most)).arrays


def written(folder, text, name="data.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@settings(max_examples=30)
@given(
    x=arrays(np.float64, st.tuples(st.integers(1, 6), st.just(3)), elements=st.floats(-1e9, 1e9)), named=st.booleans()
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_what_was_written_is_read(tmp_path_factory, separator, x, named):
    path = tmp_path_factory.mktemp("t") / "data.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, delimiter=separator)
        if named:
            rows.writerow(["a", "b", "c", "y"])
        rows.writerows([[*map(repr, map(float, row)), 7] if named else [*map(repr, map(float, row))] for row in x])
    found = read(path)
    np.testing.assert_array_equal(found["x"], x)
    assert found.keys() == ({"x", "y"} if named else {"x"})
    if named:
        assert found["y"].dtype == np.int64 and (found["y"] == 7).all()


def test_more_rows_than_are_parsed_at_a_time(tmp_path):
    count = 2 * ROWS + 3
    path = written(tmp_path, "".join(f"{row},{2 * row},0.5\n" for row in range(count)))
    assert read(path)["x"][:, 1].tolist() == [2 * row for row in range(count)]


def test_text_is_text_where_the_model_wants_it(tmp_path):
    path = written(tmp_path, '\ufeffword,y\n"one, two",1\n3,0\n')
    assert read(path, [TensorSpec(name="word", dtype="string", shape=("b",))])["word"].tolist() == ["one, two", "3"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b,c,y\n1,2,3,0\n4,,6,1\n", "line 3, column 'b': is empty"),
        ("a,b,c,y\n1,2,3,0\n4,x,6,1\n", "line 3, column 'b': 'x' is no number$"),
        ("a,b,c,y\n1,2,3,cat\n", "line 2, column 'y': 'cat' is no number; number the classes as the model does"),
        ("a,b,c,y\n1,2,3,0\n4,6,1\n", "line 3 has 3 cells, and the first one 4"),
        ('a,b,c\n1,2,"3\n', "cannot be read"),
        ("a,b,c,name,y\n1,2,3,x,0\n", "no column for"),
        ("1,2\n3,4\n", "no column for"),
        ("a,b,c\n", "there are no samples"),
        ("", "there are no samples"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, told):
    with pytest.raises(InputError, match=f"data.csv: .*{told}"):
        read(written(tmp_path, text))


def test_what_is_no_table(tmp_path):
    (tmp_path / "bytes.csv").write_bytes(b"a,b,c\n\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bytes.csv: is no text in UTF-8"):
        read(tmp_path / "bytes.csv")
    with pytest.raises(InputError, match=r"none.csv: there is no such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(NoMemoryError, match=r"data.csv holds .* or more"):
        read(written(tmp_path, "1,2,3\n" * 1000), most=5000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1,,3\n4,5,6\n", "line 1 has cells that are empty"),
        ("1,NA,3\n4,5,6\n", "line 1 has numbers and 'NA': neither names of columns nor a sample"),
        ("0,1,2\n4,5,6\n", "line 1 is 0, 1, 2 …, as columns without names are numbered"),
        ("0_0,0_1,0_2\n4,5,1_000\n", "line 2, column '0_2': '1_000' is no number"),
        ("a,b,c\n1,2," + "0" * 500 + "\n", "line 2, column 'c': '0{40}' is no number"),
    ],
)
def test_no_line_is_taken_for_another_in_silence(tmp_path, text, told):
    (tmp_path / "data.csv").write_text(text, encoding="utf-8")
    x = TensorSpec(name="x", dtype="float32", shape=("batch", 3))
    with pytest.raises(InputError, match=told):
        read_text_table(tmp_path / "data.csv", [x], Room(None))
