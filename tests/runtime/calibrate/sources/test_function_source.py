"""What a function yields is its samples, one after another; what does not fit is named by its number."""

import itertools
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from scission.runtime.calibrate.sources.columns import Room
from scission.runtime.calibrate.sources.function_source import file_of_function, is_function, read_function
from scission.runtime.inputs.inputs import InputError
from scission.runtime.ort.memory import NoMemoryError
from scission.runtime.ort.tensor_spec import TensorSpec

X = TensorSpec(name="x", dtype="float32", shape=("batch", 3))
M = TensorSpec(name="m", dtype="int64", shape=("batch",))


@pytest.fixture
def module(monkeypatch):
    made = types.ModuleType("own_samples")
    monkeypatch.setitem(sys.modules, "own_samples", made)
    return made


def read(*spec, most=None):
    return read_function(Path("own_samples:samples"), spec or [X], Room(most)).arrays


@pytest.mark.parametrize(
    "sample",
    [
        lambda i: ([i, 0, 1], i),
        lambda i: ({"x": [i, 0, 1]}, np.int64(i)),
        lambda i: [np.array([[i, 0, 1]]), np.array([i])],
        lambda i: [np.array([i, 0, 1]), np.array(i)],
        lambda i: {"x": np.array([i, 0, 1]), "labels": i},
        lambda i: {"x": np.array([[i, 0, 1]]), "labels": [i]},
    ],
)
def test_samples_in_all_their_forms(module, sample):
    module.samples = lambda: (sample(i) for i in range(5))
    found = read()
    assert found["x"].tolist() == [[i, 0, 1] for i in range(5)] and found["labels"].tolist() == [*range(5)]


def test_inputs_alone_and_buffers_that_are_written_again(module):
    def samples():
        row = np.zeros(3)
        for number in range(4):
            row[:] = number
            yield row

    module.samples = samples
    assert read()["x"][:, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        (lambda: [[1, 2]], None),
        (lambda: [[1, 2, 3], [1, 2]], r"sample 1: 'x' has shape \(2,\)"),
        (lambda: [{"z": [1]}], r"sample 0: the names do not match .*missing: \['x'\]; unknown: \['z'\]"),
        (lambda: [[[1], [1, 2]]], "sample 0: 'x' is no array of numbers"),
        (lambda: [[[[1, 2, 3]]]], r"sample 0: 'x' has shape \(1, 1, 3\), the model wants \(batch, 3\), or one row"),
        (lambda: 7, "returned a int; it has to yield samples"),
        (lambda: {}["no"], "KeyError: 'no' .*it is called without arguments and yields samples"),
        (list, "there are no samples"),
        (
            lambda: ({"x": [[0, 0, 0]] * 2, "y": range(n)} for n in (3, 1)),
            r"sample 0: 'y' has shape \(3,\), and there are 2",
        ),
    ],
)
def test_what_is_wrong_is_named(module, samples, told):
    module.samples = samples
    if told is None:
        assert read()["x"].shape == (1, 2)  # how wide an input is says whoever fits it to the model
        return
    with pytest.raises(InputError, match=f"own_samples:samples: .*{told}"):
        read()


def test_several_inputs_need_their_names(module):
    module.samples = lambda: [[1, 2, 3]]
    with pytest.raises(InputError, match=r"sample 0 is a list; the inputs are \['x', 'm'\], give a dict"):
        read(X, M)


def test_an_iterator_without_an_end_ends_at_the_memory(module):
    module.samples = lambda: itertools.repeat(np.zeros(3))
    with pytest.raises(NoMemoryError, match="own_samples:samples holds"):
        read(most=100_000)


def test_no_such_function(module):
    with pytest.raises(InputError, match="holds no function 'samples'"):
        read()
    with pytest.raises(InputError, match="there is no module 'no_such_module'"):
        read_function(Path("no_such_module:samples"), [X], Room(None))


def test_what_is_written_as_a_function(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_function(Path("a.b:c")) and not is_function(Path("a/b:c")) and not is_function(Path("a:b.c"))
    Path("a:b").write_text("a file", encoding="utf-8")
    assert not is_function(Path("a:b"))
    assert file_of_function(Path("scission.ir.errors:option")).name == "errors.py"
    assert file_of_function(Path("no_such_module:option")) is None
