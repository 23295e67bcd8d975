"""Extents that are believed are those of what ONNX Runtime makes, for every operator of which any are."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from random_results import Results

import scission
from scission.ir.graph.operators import INFERRED_AS_RUN, MICROSOFT
from scission.ir.graph.shapes import Inference
from scission.ir.io.load import load
from scission.passes.rewrite.static.believed import believed_shapes
from scission.runtime.ort.library import SessionError
from scission.runtime.ort.session import open_session

PARTED = ("AveragePool", "ConvTranspose", "LpPool", "MaxPool", "PRelu", "Range", "Resize", "Slice")
UNREAD = {"unread": np.float32(0)}
OPERATORS = sorted(INFERRED_AS_RUN - (MICROSOFT - {"DequantizeLinear", "Gelu", "QuantizeLinear"}))


def known_of(op, seed):
    """How many results of one use of an operator are known, or None where it cannot be run; how many ONNX mistakes."""
    model, feeds = Results(seed).make(op)
    try:
        run = list(
            open_session(model.SerializeToString(), provider="cpu", threads=1, optimize=False).run(feeds).values()
        )
    except SessionError:
        return None
    graph = load(model).graph
    believed, inferred = believed_shapes(graph), Inference(graph).shapes()
    wrong, known = 0, 0
    for value, array in zip(graph.graph.outputs, run, strict=True):
        shape, other = believed.get(value), inferred.get(value)
        assert shape is None or len(shape) == array.ndim, (shape, array.shape)
        assert all(has in (None, is_) for has, is_ in zip(shape or (), array.shape, strict=False)), (shape, array.shape)
        known += shape is not None
        wrong += other is not None and None not in other and other != array.shape
    return known, wrong


@pytest.mark.parametrize("op", OPERATORS)
def test_what_is_believed_is_made(op):
    found = [known_of(op, seed) for seed in range(8)]
    assert any(one is not None and one[0] for one in found)


@pytest.mark.parametrize("op", PARTED)
def test_where_the_two_part_nothing_is_believed(op):
    assert any(one is not None and one[1] for one in (known_of(op, seed) for seed in range(300)))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([*PARTED, "Upsample", "Conv", "Einsum", "Expand", "Pad", "Reshape", "Split"]), st.integers(0, 2**32)
)
def test_whatever_is_drawn_is_made(op, seed):
    known_of(op, seed)


def measured(nodes, shape, held=None, name="y"):
    """The shape of a result beside x itself, which is of this shape, numbers of it open."""
    tail = [("Shape", [name], ["s"]), ("Cast", ["s"], ["f"], {"to": TensorProto.FLOAT}), ("ReduceMax", ["x"], ["m"])]
    return oracles.graph([*nodes, *tail, ("Add", ["f", "m"], ["o"])], {"x": shape}, {"o": None}, held or UNREAD)


def same_when_fixed(model, sizes, x):
    fixed = scission.fix_shapes(model, sizes)
    for optimised in (False, True):
        before, after = (oracles.run(one, {"x": x}, optimised) for one in (model, fixed))
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(other, one)
    return fixed


@pytest.mark.parametrize("long", [5, 6, 7, 8, 9])
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_a_window_that_would_begin_behind_the_end_is_not_counted(op, long):
    pool = (op, ["x"], ["y"], {"kernel_shape": [1, 1], "strides": [3, 3], "ceil_mode": 1})
    x = np.random.default_rng(0).standard_normal((2, 3, long, long)).astype(np.float32)
    fixed = same_when_fixed(measured([pool], ["n", 3, "l", "l"]), {"n": 2, "l": long}, x)
    assert "Shape" not in [node.op_type for node in fixed.graph.node]


@pytest.mark.parametrize(
    ("first", "second", "long"),
    [  # of the second no window stands inside of what the first makes
        ({"kernel_shape": [5], "strides": [3], "pads": [3, 3], "dilations": [2]}, [4, 2, 1, 0], 3),
        ({"kernel_shape": [5], "strides": [2], "pads": [3, 4]}, [4, 2, 0, 0], 1),
        ({"kernel_shape": [2], "strides": [3], "pads": [0, 1]}, [3, 2, 0, 0], 1),
    ],
)
def test_windows_that_are_larger_than_what_they_slide_along(first, second, long):
    window, stride, *pads = second
    then = {"kernel_shape": [window], "strides": [stride], "pads": pads, "ceil_mode": 1}
    nodes = [("AveragePool", ["x"], ["t"], {**first, "ceil_mode": 1}), ("AveragePool", ["t"], ["y"], then)]
    proto = oracles.graph(nodes, {"x": [1, 2, long]}, {"y": None}, UNREAD)
    proto.opset_import[0].version = 22
    (made,) = oracles.run(proto, {"x": np.ones((1, 2, long), np.float32)})
    graph = load(proto).graph
    believed = believed_shapes(graph)[graph.graph.outputs[0]]
    assert made.shape[2] == 0 and believed == (1, 2, None)


def test_a_number_is_no_truth_value():
    nodes = [
        ("Shape", ["x"], ["t"]),
        ("Cast", ["t"], ["b"], {"to": TensorProto.BOOL}),
        ("Cast", ["b"], ["i"], {"to": TensorProto.INT64}),
        ("Expand", ["one", "i"], ["y"]),
    ]
    same_when_fixed(measured(nodes, ["n", "l"], {"one": np.float32(1)}), {"n": 4}, np.ones((4, 5), np.float32))
    same_when_fixed(measured(nodes, ["n", "l"], {"one": np.float32(1)}), {"n": 4, "l": 5}, np.ones((4, 5), np.float32))


def test_what_onnx_runtime_would_take_for_another_shape_is_not_fixed():
    scales = np.array([1, 1, 1.1, 1.1], np.float32)
    model = measured([("Resize", ["x", "", "scales"], ["y"])], ["n", 3, "l", 10], {"scales": scales})
    with pytest.raises(scission.InputError, match="takes 'y' to be of shape"):
        scission.fix_shapes(model, {"n": 1, "l": 10})
    same_when_fixed(model, {"n": 1}, np.ones((1, 3, 10, 10), np.float32))


def test_outputs_that_are_careless_about_a_name_stay_open():
    nodes = [("NonZero", ["x"], ["nz"]), ("Cast", ["nz"], ["y"], {"to": TensorProto.FLOAT})]
    model = measured(nodes, ["n", 5], name="nz")
    model.graph.output.append(helper.make_tensor_value_info("nz", TensorProto.INT64, [2, "n"]))
    x = np.ones((3, 5), np.float32)
    fixed = same_when_fixed(model, {"n": 3}, x)
    assert [dim.WhichOneof("value") for dim in fixed.graph.output[1].type.tensor_type.shape.dim][1] is None


def test_half_precision_is_computed_when_the_model_runs():
    half = TensorProto.FLOAT16
    nodes = [
        ("Size", ["x"], ["size"]),
        ("Cast", ["size"], ["h"], {"to": half}),
        ("Div", ["h", "three"], ["d"]),
        ("Sqrt", ["d"], ["q"]),
        ("Cast", ["q"], ["r"], {"to": TensorProto.FLOAT}),
        ("ReduceMax", ["x"], ["m"]),
        ("Add", ["r", "m"], ["o"]),
    ]
    model = oracles.graph(nodes, {"x": ["n", "l"]}, {"o": None}, {**UNREAD, "three": np.float16(3)})
    for rows, columns in ((5, 7), (3, 3), (10, 30)):
        same_when_fixed(model, {"n": rows, "l": columns}, np.ones((rows, columns), np.float32))
