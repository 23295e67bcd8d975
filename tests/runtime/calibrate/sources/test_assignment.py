"""Every column has one place: in an input, or in the labels; or the table is refused."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.calibrate.sources.assignment import assign, together
from scission.runtime.inputs.inputs import InputError
from scission.runtime.ort.tensor_spec import TensorSpec


def spec(name, *shape):
    return TensorSpec(name=name, dtype="float32", shape=shape)


X, M, IMAGE = spec("x", "b", 3), spec("m", "b"), spec("image", None, 1, 2, 2)


@given(st.permutations(["x[0]", "x[1]", "x[2]", "m", "label"]))
def test_columns_come_in_any_order(names):
    found = assign("t", names, [X, M])
    assert {target: [names[at] for at in places] for target, places in found.items()} == {
        "x": ["x[0]", "x[1]", "x[2]"],
        "m": ["m"],
        "label": ["label"],
    }


@pytest.mark.parametrize(
    ("names", "inputs", "wanted"),
    [
        (["a", "b", "c"], [X], {"x": (0, 1, 2)}),
        (["y", "a", "b", "c"], [X], {"x": (1, 2, 3), "y": (0,)}),
        (["x_1", "x_2", "x_3"], [X], {"x": (0, 1, 2)}),
        (["x.2", "x.1", "x.0"], [X], {"x": (2, 1, 0)}),
        (["m", "a", "b", "c"], [X, M], {"x": (1, 2, 3), "m": (0,)}),
        (["a", "b", "c", "d"], [IMAGE], {"image": (0, 1, 2, 3)}),
        (["x", "y_0", "y_1"], [spec("x", "b", None)], {"x": (0,), "y": (1, 2)}),
        (["a", "b"], [spec("x", "b", None)], {"x": (0, 1)}),
    ],
)
def test_what_is_meant(names, inputs, wanted):
    assert assign("t", names, inputs) == wanted


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            ["a", "b"],
            r"t: .* the model's inputs 'x' \(b, 3\) \(no column for \['x'\]; no input for 2",
        ),
        (["x", "odd"], r"no input for 1 columns \['odd'\]"),
        (["x[0]", "x[2]"], r"there is no column x\[1\], though there is 'x\[2\]'"),
        (["x[5]"], r"there is no column x\[0\], though there is 'x\[5\]'"),
        (["a", "a"], "several columns 'a'"),
    ],
)
def test_what_does_not_fit_is_named(names, told):
    with pytest.raises(InputError, match=told):
        assign("t", names, [X])


@pytest.mark.parametrize(
    ("columns", "value", "shape"),
    [
        (4, IMAGE, (5, 1, 2, 2)),
        (3, X, (5, 3)),
        (1, M, (5,)),
        (1, spec("x", "b", 1), (5, 1)),
        (1, spec("x", "b", None), (5, 1)),
        (1, None, (5,)),
        (2, None, (5, 2)),
    ],
)
def test_columns_are_the_features_of_a_row(columns, value, shape):
    made = together("t", [np.arange(5) + 10 * at for at in range(columns)], value)
    assert made.shape == shape
    assert made.reshape(5, -1).tolist() == [[row + 10 * at for at in range(columns)] for row in range(5)]


def test_too_few_numbers_are_named():
    with pytest.raises(InputError, match=re.escape("t: 'image' gets 2 numbers of a row, and the model wants (?,")):
        together("t", [np.zeros(5), np.zeros(5)], IMAGE)
