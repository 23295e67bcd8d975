"""Arrays of a sample have samples along their first axis, and all of them hold the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.calibrate.sources.sample_rows import sample_rows
from scission.runtime.inputs.inputs import InputError
from scission.runtime.ort.tensor_spec import TensorSpec

X = TensorSpec(name="x", dtype="float32", shape=("batch", 3))
M = TensorSpec(name="m", dtype="int64", shape=("batch",))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_so_many_rows_of_each_or_a_reason(x, m, y):
    held = {"x": np.zeros((x, 3)), "m": np.arange(m), "y": np.arange(y)}
    if x == m == y:
        found = sample_rows("here", held, [X, M])
        assert all(found[name] is array for name, array in held.items())
        return
    told = "different numbers of samples" if x != m else rf"'y' has shape \({y},\), and there are {x} samples"
    with pytest.raises(InputError, match=f"^here: .*{told}"):
        sample_rows("here", held, [X, M])


def test_one_sample_is_one_row():
    found = sample_rows("here", {"x": np.zeros(3), "m": np.array(4), "y": np.zeros(2)}, [X, M])
    assert {name: array.shape for name, array in found.items()} == {"x": (1, 3), "m": (1,), "y": (1, 2)}


def test_labels_alone():
    assert sample_rows("here", {"other": np.zeros(3), "y": np.array(2)}, [])["labels"].tolist() == [2]
    assert sample_rows("here", {"any": np.arange(3)}, [])["labels"].tolist() == [0, 1, 2]
