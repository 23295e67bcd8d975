"""What a value is said to be a piece of, against what ONNX's reference implementation computes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from scission.ir.graph.constants import Constants
from scission.ir.graph.shapes import infer_shapes
from scission.ir.io.load import load
from scission.models.sketch import Sketch
from scission.passes.branches.packing.piece import piece_of

SHAPE = (2, 5, 4)


def cut(kind, axis, start, size, opset=17, squeeze=False):
    """A model that cuts something out of x, and its result."""
    sketch = Sketch(np.random.default_rng(0))
    sketch.opset = opset
    x = sketch.input("x", SHAPE)
    if kind == "slice":
        value = sketch.op("Slice", x, [start], [start + size], [axis], *([[1]] if squeeze else []))
    elif kind == "backwards":
        value = sketch.op("Slice", x, [start + size - 1], [-SHAPE[axis] - 1 + start], [axis], [-1])
    elif kind == "gather":
        value = sketch.op("Gather", x, np.asarray(start if squeeze else [start], np.int64), axis=axis)
    else:
        sizes = [part for part in (start, size, SHAPE[axis] - start - size) if part]
        parts = sketch.op("Split", x, sizes, outputs=len(sizes), axis=axis) if len(sizes) > 1 else [x]
        value = parts[1 if start else 0] if len(sizes) > 1 else sketch.op("Slice", x, [0], [size], [axis])
    if squeeze and kind != "gather":
        value = sketch.op("Squeeze", value, [axis])
    sketch.output(sketch.op("Identity", value), name="y")
    return sketch.model()


def told(model):
    graph = load(model).graph
    infer_shapes(graph)
    (end,) = (node for node in graph.graph if node.op_type == "Identity")
    return piece_of(end.inputs[0], Constants(graph))


@settings(max_examples=40)
@given(st.sampled_from(["slice", "gather", "split"]), st.integers(-3, 2), st.data(), st.booleans())
def test_a_piece_is_where_it_is_said_to_be(kind, axis, data, squeeze):
    extent = SHAPE[axis]
    size = 1 if squeeze or kind == "gather" else data.draw(st.integers(1, extent))
    start = data.draw(st.integers(0, extent - size))
    model = cut(kind, axis % 3 if kind == "split" else axis, start, size, squeeze=squeeze)
    found = told(model)
    assert (found.root.name, found.axis, found.start, found.size) == ("x", axis % 3, start, size)
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    (y,) = ReferenceEvaluator(model).run(None, {"x": x})
    own = np.take(x, range(found.start, found.start + found.size), axis=found.axis)
    np.testing.assert_array_equal(y, own.squeeze(found.axis) if found.squeezed else own)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_what_is_taken_backwards_is_none(axis):
    assert told(cut("backwards", axis, 0, 2)) is None


def test_a_place_that_callers_give_is_none():
    sketch = Sketch(np.random.default_rng(0))
    x, place = sketch.input("x", SHAPE), sketch.input("place", [], np.int64)
    sketch.output(sketch.op("Identity", sketch.op("Gather", x, place, axis=1)), name="y")
    assert told(sketch.model()) is None


def test_a_part_of_an_axis_of_unknown_extent_is_none():
    sketch = Sketch(np.random.default_rng(0))
    sketch.output(sketch.op("Identity", sketch.op("Slice", sketch.input("x", ["n", 3]), [0], [1], [0])), name="y")
    assert told(sketch.model()) is None
