"""The same samples are read from every form that they are written in."""

import numpy as np
import pytest
from onnx.numpy_helper import from_array

from scission import LabelledError
from scission.runtime.calibrate.dataset import read_labelled
from scission.runtime.calibrate.sources.source import files_of_source, read_source
from scission.runtime.inputs.inputs import InputError
from scission.runtime.ort.memory import NoMemoryError
from scission.runtime.ort.tensor_spec import TensorSpec

X = TensorSpec(name="x", dtype="float32", shape=("batch", 3))
ROWS = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
LABELS = np.arange(7) % 3


def csv(path):
    lines = [f"{a!r},{b!r},{c!r},{y}\n" for (a, b, c), y in zip(ROWS.tolist(), LABELS, strict=True)]
    path.write_text("a,b,c,y\n" + "".join(lines), encoding="utf-8")
    return path


def parquet(path):
    arrow, files = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    files.write_table(arrow.table({"x": [*ROWS.astype(np.float64)], "target": LABELS}), path)
    return path


def folder(path):
    path.mkdir()
    for number, (row, label) in enumerate(zip(ROWS, LABELS, strict=True)):
        np.savez(path / f"{number}.npz", x=row, label=label)
    return path


def archive(path):
    np.savez(path, x=ROWS, labels=LABELS)
    return path


def function(path):
    np.savez(path.with_suffix(".npz"), x=ROWS)
    text = f"import numpy as np\nx = np.load({str(path.with_suffix('.npz'))!r})['x']\n"
    path.write_text(text + "def samples():\n    yield from ((x[i], i % 3) for i in range(7))\n", encoding="utf-8")
    return f"{path.stem}:samples"


FORMS = {"d.csv": csv, "d.parquet": parquet, "d": folder, "d.npz": archive, "every_form_of_samples.py": function}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_holds_the_same(tmp_path, monkeypatch, name):
    monkeypatch.syspath_prepend(tmp_path)
    source = FORMS[name](tmp_path / name)
    found = read_labelled(type(tmp_path)(source), [X])
    assert found.arrays["x"].dtype == np.float32 and found.targets.tolist() == LABELS.tolist()
    np.testing.assert_array_equal(found.arrays["x"], ROWS)
    files = files_of_source(source)
    assert files and all(file.exists() for file in files) and files_of_source({"x": ROWS}) == []


def test_one_array_and_labels_in_any_form(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    (tmp_path / "x.pb").write_bytes(from_array(ROWS).SerializeToString())
    (tmp_path / "labels.csv").write_text("".join(f"{label}\n" for label in LABELS), encoding="utf-8")
    (tmp_path / "named.csv").write_text("a\n" + "".join(f"{label}\n" for label in LABELS), encoding="utf-8")
    np.save(tmp_path / "labels.npy", LABELS)
    for data in ("x.npy", "x.pb"):
        for labels in ("labels.csv", "labels.npy", "named.csv"):
            found = read_labelled(tmp_path / data, [X], tmp_path / labels)
            assert found.targets.tolist() == LABELS.tolist() and found.samples == 7
    (tmp_path / "short.csv").write_text("0\n1\n", encoding="utf-8")
    with pytest.raises(LabelledError, match=r"short.csv has shape \(2,\) and must hold one label for each of the 7"):
        read_labelled(tmp_path / "x.npy", [X], tmp_path / "short.csv")
    with pytest.raises(InputError, match=r"x.npy: holds one array, and the model has the inputs \['x', 'z'\]"):
        read_source(tmp_path / "x.npy", [X, TensorSpec(name="z", dtype="float32", shape=("b",))])
    for data in ("x.npy", "x.pb"):
        with pytest.raises(NoMemoryError, match=f"{data} holds"):
            read_source(tmp_path / data, [X], most=50)


def labels_alone(tmp_path, form):
    """The labels, and nothing else, written in one of the forms."""
    path = tmp_path / form
    if form.endswith(".csv"):
        path.write_text("y\n" + "".join(f"{label}\n" for label in LABELS), encoding="utf-8")
    elif form.endswith(".parquet"):
        arrow, files = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        files.write_table(arrow.table({"class": LABELS}), path)
    elif form.endswith(".pb"):
        path.write_bytes(from_array(LABELS).SerializeToString())
    elif form.endswith(".py"):
        path.write_text("def samples():\n    yield from (i % 3 for i in range(7))\n", encoding="utf-8")
        return f"{path.stem}:samples"
    elif form.startswith("folder"):
        path.mkdir()
        for number, label in enumerate(LABELS):
            np.savez(path / f"{number}.npz", target=label) if form == "folder" else np.save(path / str(number), label)
    else:
        np.savez(path, y=LABELS)
    return path


@pytest.mark.parametrize("form", ["l.npz", "l.csv", "l.parquet", "l.pb", "folder", "folder of npy", "own_labels.py"])
def test_labels_may_have_every_form_that_data_have(tmp_path, monkeypatch, form):
    monkeypatch.syspath_prepend(tmp_path)
    source = labels_alone(tmp_path, form)
    np.save(tmp_path / "x.npy", ROWS)
    found = read_labelled(tmp_path / "x.npy", [X], type(tmp_path)(source))
    assert found.targets.tolist() == LABELS.tolist()
    with pytest.raises(NoMemoryError):
        read_source(type(tmp_path)(source), [], most=10)


def test_which_labels_has_to_be_told(tmp_path):
    (tmp_path / "l.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(LabelledError, match=r"l.csv: which of the columns \['a', 'b'\] holds the labels"):
        read_source(tmp_path / "l.csv", [])


def test_floats_of_tables_are_rounded_and_those_of_arrays_are_not(tmp_path):
    (tmp_path / "d.csv").write_text("0.1,0.2,0.3\n", encoding="utf-8")
    assert read_labelled(tmp_path / "d.csv", [X]).arrays["x"].tolist() == [
        [float(np.float32(v)) for v in (0.1, 0.2, 0.3)]
    ]
    np.save(tmp_path / "d.npy", np.array([[0.1, 0.2, 0.3]]))
    with pytest.raises(InputError, match="does not fit float32 without loss"):
        read_labelled(tmp_path / "d.npy", [X])
    (tmp_path / "d.csv").write_text("1e300,0,0\n", encoding="utf-8")
    with pytest.raises(InputError, match="holds numbers that are too large for float32"):
        read_labelled(tmp_path / "d.csv", [X])
    whole = TensorSpec(name="x", dtype="int64", shape=("batch", 3))
    (tmp_path / "d.csv").write_text("1,2,3\n", encoding="utf-8")
    assert read_labelled(tmp_path / "d.csv", [whole]).arrays["x"].dtype == np.int64
    (tmp_path / "d.csv").write_text("1,2,3.5\n", encoding="utf-8")
    with pytest.raises(InputError, match="does not fit int64 without loss"):
        read_labelled(tmp_path / "d.csv", [whole])
    for rows in ("9007199254740993,1,1\n1.0,2,2\n", "9007199254740993,1,1\n" * 5000 + "1.0,2,2\n"):
        (tmp_path / "d.csv").write_text(rows, encoding="utf-8")
        with pytest.raises(InputError, match="more than 53 bits beside some that are written as floats"):
            read_labelled(tmp_path / "d.csv", [whole])
    (tmp_path / "d.csv").write_text("9007199254740993,1,1\n", encoding="utf-8")
    assert read_labelled(tmp_path / "d.csv", [whole]).arrays["x"].tolist() == [[9007199254740993, 1, 1]]


@pytest.mark.parametrize("form", ["d.npz", "d.csv"])
def test_what_is_optional_may_be_left_out(tmp_path, form):
    path = FORMS[form](tmp_path / form)
    found = read_labelled(path, [X, TensorSpec(name="m", dtype="float32", shape=("batch",), optional=True)])
    assert [*found.arrays] == ["x"] and found.samples == 7
