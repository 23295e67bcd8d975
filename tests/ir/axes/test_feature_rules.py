"""Every rule against ONNX Runtime: change what one label stands for, and only what is tied to that label changes."""

import numpy as np
import onnx
import oracles
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_nodes import MAKERS, MS, cases, ints, quantise, vectors
from reference import model, node

from scission.ir.axes.axis_rule import AxisRef, Sizes
from scission.ir.axes.axis_rules import RULES, axis_rule
from scission.ir.axes.feature_rules import follow
from scission.ir.errors import ModelError
from scission.ir.graph.constants import Constants
from scission.ir.graph.operators import BLOCKWISE, JOINING
from scission.ir.graph.shapes import infer_shapes
from scission.ir.io.load import load

BATCH = 3  # what "n" is at run time
X = {"x": ["n", 4, 6]}
LAST, HEADS = {"x": (1, 1, 6)}, {"x": (1, 4, 6)}


def case(op, inputs, shapes, labels, constants=None, domain="", outputs="y", **attributes):
    """A node, the shapes of what it reads, those of their labels, and constants beside."""
    return node(op, inputs, outputs, "node", domain, **attributes), shapes, labels, constants or {}


ROW = {**X, "b": [6]}
KNOWN = {
    "Relu": case("Relu", "x", X, HEADS),
    "Add of two": case("Add", "x b", ROW, {**LAST, "b": (6,)}),
    "Add of heads": case("Add", "x b", {**X, "b": [4, 1]}, {**HEADS, "b": (4, 1)}),
    "Add of rows to features": case("Add", "x b", {**X, "b": [4, 6]}, {**LAST, "b": (4, 1)}),
    "Add of something": case("Add", "x b", ROW, LAST),
    "Add of a number": case("Add", "x b", X, LAST, {"b": np.float32(2)}),
    "Add of one axis more": case("Add", "x b", X, LAST, {"b": np.ones((2, 1, 1, 6), np.float32)}),
    "Where": case("Where", "c x b", {**ROW, "c": (["n", 1, 1], np.bool_)}, {**LAST, "b": (6,)}),
    "Less": case("Less", "x b", ROW, {**LAST, "b": (6,)}),
    "PRelu": case("PRelu", "x b", ROW, LAST),
    "Clip": case("Clip", "x low", X, LAST, {"low": np.float32(-1)}),
    "Dropout": case("Dropout", "x", X, LAST),
    "Dropout told not to": case("Dropout", "x r t", X, LAST, {"r": np.float32(0.5), "t": np.array(False)}),
    "Transpose": case("Transpose", "x", X, HEADS, perm=[2, 0, 1]),
    "Transpose of all": case("Transpose", "x", X, HEADS),
    "Reshape": case("Reshape", "x s", X, HEADS, {"s": ints(0, -1)}),
    "Reshape into heads": case("Reshape", "x s", X, LAST, {"s": ints(0, 0, 2, 3)}),
    "Reshape of rows": case("Reshape", "x s", X, LAST, {"s": ints(-1, 6)}),
    "Reshape across rows": case("Reshape", "x s", X, LAST, {"s": ints(-1, 8, 3)}),
    "Flatten": case("Flatten", "x", X, HEADS),
    "Squeeze": case("Squeeze", "x a", {"x": ["n", 1, 6]}, LAST, {"a": ints(-2)}),
    "Unsqueeze": case("Unsqueeze", "x a", X, HEADS, {"a": ints(-1, 2)}),
    "Expand": case("Expand", "x s", {"x": ["n", 1, 6]}, LAST, {"s": ints(2, 1, 4, 1)}),
    "Split": case("Split", "x", X, LAST, outputs="y z", axis=-1, num_outputs=2),
    "Split in sizes": case("Split", "x s", X, HEADS, {"s": ints(1, 3)}, outputs="y z", axis=1),
    "Split beside": case("Split", "x", X, LAST, outputs="y z", axis=1, num_outputs=2),
    "Concat": case("Concat", "x b", {**X, "b": ["n", 4, 2]}, {**HEADS, "b": (1, 1, 2)}, axis=2),
    "Concat beside": case("Concat", "x b", {**X, "b": ["n", 2, 6]}, {**LAST, "b": (1, 1, 6)}, axis=1),
    "Concat with something": case("Concat", "b x", {**X, "b": ["n", 2, 6]}, LAST, axis=-2),
    "Slice": case(
        "Slice", "x s e a t", X, HEADS, {"s": ints(1, -5), "e": ints(9, -1), "a": ints(1, 2), "t": ints(1, 2)}
    ),
    "Slice beside": case("Slice", "x s e a t", X, LAST, {"s": ints(-1), "e": ints(-9), "a": ints(1), "t": ints(-1)}),
    "Slice beside at run time": case(
        "Slice", "x s e a", {**X, "s": ([1], np.int64), "e": ([1], np.int64)}, LAST, {"a": ints(1)}
    ),
    "Gather": case("Gather", "x i", X, HEADS, {"i": ints(5, -3, 5, 0)}, axis=2),
    "Gather of one": case("Gather", "x i", X, HEADS, {"i": np.int64(-2)}, axis=1),
    "Gather beside": case("Gather", "x i", {**X, "i": ([3], np.int64)}, LAST, axis=1),
    "Gather of one beside": case("Gather", "x i", {**X, "i": ([], np.int64)}, LAST, axis=0),
    "Softmax": case("Softmax", "x", X, HEADS),
    "Softmax beside": case("Softmax", "x", X, LAST, axis=1),
    "LayerNormalization": case("LayerNormalization", "x s", X, HEADS, {"s": np.ones(6, np.float32)}),
    "LayerNormalization of two": case(
        "LayerNormalization", "x s", X, HEADS, {"s": np.ones((4, 6), np.float32)}, axis=1
    ),
    "ReduceMean": case("ReduceMean", "x a", X, HEADS, {"a": ints(1)}),
    "ReduceMax": case("ReduceMax", "x a", X, HEADS, {"a": ints(-1, 0)}, keepdims=0),
    "QuantizeLinear": case("QuantizeLinear", "x s", X, HEADS, {"s": np.float32(0.01)}),
    "MatMul": case("MatMul", "x b", {**X, "b": ["n", 6, 5]}, {**HEADS, "b": (1, 6, 1)}),
    "MatMul of rows and columns": case("MatMul", "x b", {**X, "b": ["n", 6, 5]}, {"x": (1, 4, 1), "b": (1, 1, 5)}),
    "MatMul with something": case("MatMul", "x b", {**X, "b": [6, 5]}, HEADS),
    "MatMul after something": case("MatMul", "b x", {**X, "b": ["n", 3, 4]}, HEADS),
    "MatMul of heads": case(
        "MatMul", "x b", {"x": ["n", 4, 2, 3], "b": [4, 3, 2]}, {"x": (1, 4, 1, 3), "b": (4, 3, 1)}
    ),
}
OPAQUE = {
    "Dropout that draws": case("Dropout", "x r t", X, LAST, {"r": np.float32(0.5), "t": np.array(True)}),
    "Dropout that may draw": case("Dropout", "x r t", {**X, "t": ([], np.bool_)}, LAST, {"r": np.float32(0.5)}),
    "Dropout whose mask is read": case("Dropout", "x", X, LAST, outputs="y z"),
    "CumSum": case("CumSum", "x a", X, LAST, {"a": np.int64(2)}),
    "another domain": case("Relu", "x", X, LAST, domain="ai.onnx.ml"),
    "Slice backwards": case("Slice", "x s e a t", X, LAST, {"s": ints(-1), "e": ints(-9), "a": ints(2), "t": ints(-1)}),
    "Slice at run time": case(
        "Slice", "x s e a", {**X, "s": ([1], np.int64), "e": ([1], np.int64)}, LAST, {"a": ints(2)}
    ),
    "Gather at run time": case("Gather", "x i", {**X, "i": ([3], np.int64)}, LAST, axis=2),
    "Gather at features": case("Gather", "x i", {"x": [5, 6], "i": ([2, 6], np.int64)}, {"i": (1, 6)}),
    "Gather of a table": case("Gather", "x i", X, LAST, {"i": ints(0, 1).reshape(1, 2)}, axis=2),
    "Reshape of unknown features": case("Reshape", "x s", {"x": ["n", 4, "k"]}, {"x": (1, 1, 6)}, {"s": ints(0, -1)}),
    "Reshape that mixes rows": case("Reshape", "x s", {"x": ["n", "m", 6]}, {"x": (1, 1, 6)}, {"s": ints(2, -1)}),
    "Reshape to features": case("Reshape", "x s", {"x": [2, 3], "s": ([2], np.int64)}, {"s": (2,)}),
    "Add of unknown extents": case("Add", "x b", {**X, "b": ["k"]}, LAST),
    "Add of an unknown rank": case("Add", "x b", {**X, "b": None}, LAST),
    "ReduceSum over unknown axes": case("ReduceSum", "x a", {**X, "a": ([1], np.int64)}, LAST),
    "ReduceSum of all": case("ReduceSum", "x", X, LAST),
    "LayerNormalization that tells its mean": case(
        "LayerNormalization", "x s", X, LAST, {"s": np.ones(6, np.float32)}, outputs="y z"
    ),
    "LayerNormalization by features": case("LayerNormalization", "x s", {**X, "s": [6]}, {"s": (6,)}),
    "Concat of features and something": case("Concat", "x b", {**X, "b": ["n", 4, 2]}, LAST, axis=2),
    "QuantizeLinear along an axis": case("QuantizeLinear", "x s", X, LAST, {"s": np.full(6, 0.5, np.float32)}, axis=2),
    "MatMul with a constant": case("MatMul", "x b", X, LAST, {"b": np.ones((2, 6, 5), np.float32)}),
    "MatMul with a vector": case("MatMul", "x b", ROW, LAST),
    "Expand to an unknown rank": case("Expand", "x s", {**X, "s": (["r"], np.int64)}, LAST),
}


def spec(shape):
    known = isinstance(shape, tuple)
    return shape if known else (shape, np.float32)


def looked_at(found):
    """(the model, the node with the labels of its operands numbered on and all sizes, how many labels)."""
    n, shapes, labels, constants = found
    inputs = {name: spec(shape) for name, shape in shapes.items()}
    proto = model([n], inputs, {}, constants, opset=20, domains=[MS, "ai.onnx.ml"])
    proto.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in n.output)
    graph = load(proto).graph
    infer_shapes(graph)
    (known,) = graph.graph
    count, given = 0, {}
    for value in dict.fromkeys(known.inputs):
        if value is not None and value.name in labels:
            size = int(np.prod(labels[value.name]))
            given[value], count = np.arange(count, count + size).reshape(labels[value.name]), count + size
    return proto, (known, given, Sizes(Constants(graph))), count


def feeds_of(found, rng):
    feeds = {}
    for name, shape in found[1].items():
        sizes, dtype = spec(shape)
        sizes = [BATCH if n == "n" else n for n in sizes]
        feeds[name] = (
            rng.standard_normal(sizes).astype(dtype) if dtype is np.float32 else rng.integers(0, 2, sizes).astype(dtype)
        )
    return feeds


def groups(count, ties):
    parent = list(range(count))

    def root(i):
        while parent[i] != i:
            i = parent[i]
        return i

    for first, second in ties:
        assert first.shape == second.shape
        for a, b in zip(first.flat, second.flat, strict=True):
            parent[root(int(b))] = root(int(a))
    return np.array([root(i) for i in range(count)])


@pytest.mark.parametrize("name", KNOWN)
def test_what_a_feature_reaches_is_labelled_or_tied(name):
    found = KNOWN[name]
    proto, seen, count = looked_at(found)
    result = follow(*seen)
    assert result is not None
    outputs, ties = result
    group = groups(count, ties)
    rng = np.random.default_rng(0)
    feeds = feeds_of(found, rng)
    before = oracles.run(proto, feeds)
    for labels, array in zip(outputs, before, strict=True):
        assert labels is None or labels.ndim == array.ndim
    for value, own in seen[1].items():
        where = np.broadcast_to(own, feeds[value.name].shape)
        for label in np.unique(where):
            changed = feeds[value.name].copy()
            changed[where == label] += (1 + rng.random(int((where == label).sum()))).astype(np.float32)
            after = oracles.run(proto, {**feeds, value.name: changed})
            for labels, a, b in zip(outputs, before, after, strict=True):
                told = group[np.broadcast_to(labels, a.shape)]
                assert (told[a != b] == group[label]).all()


@pytest.mark.parametrize("name", OPAQUE)
def test_what_is_not_understood_is_not_followed(name):
    assert follow(*looked_at(OPAQUE[name])[1]) is None


def test_every_rule_that_is_not_pointwise_is_tried():
    tried = {found[0].op_type for found in KNOWN.values()}
    named = {op for op, rule in RULES.items() if rule is not RULES["Relu"] and op in BLOCKWISE}
    alike = {RULES[op] for op in tried}
    assert {op for op in named if RULES[op] not in alike} == set()


def test_an_invalid_node_raises_what_the_tracer_expects():
    with pytest.raises((ModelError, IndexError, ValueError)):
        follow(*looked_at(case("Gather", "x i", X, LAST, {"i": ints(9)}, axis=2))[1])


BETWEEN = [maker for maker in MAKERS if maker not in (quantise, vectors)]  # no blocks are computed of these alone


@settings(max_examples=100)
@given(cases(BETWEEN), st.integers(0, 3), st.integers(0, 3))
def test_both_readings_agree_where_no_axis_is_cut(of, index, axis):
    """Features along one axis of one operand go on along the axes that are the same, and are tied where they are mixed.

    Along an axis that is cut, those that go on are some of them.
    """
    single, shapes, constants = of
    names = [name for name in single.input if name in shapes]
    name = names[index % len(names)]
    extents = spec(shapes[name])[0]
    assume(extents and extents[axis % len(extents)] > 1)
    axis %= len(extents)
    own = [n if place == axis else 1 for place, n in enumerate(extents)]
    _, seen, count = looked_at((single, shapes, {name: tuple(own)}, constants))
    result, rule = follow(*seen), axis_rule(seen[0], seen[2])
    assert not isinstance(rule, str)
    slot = list(single.input).index(name)
    if result is None:  # no block can be computed alone, or features are beside what is understood
        assert single.op_type not in (JOINING if slot else BLOCKWISE) or single.op_type == "Concat"
        return
    (labels, *_), ties = result
    here = AxisRef(False, slot, axis)
    (group,) = [set(refs) for refs in rule.same if here in refs] or [{here}]
    told = [ref.axis for ref in group if ref.is_result and ref.slot == 0]
    classes = len(np.unique(groups(count, ties)))
    assert classes == (1 if here in rule.mixed else count)
    if told:
        assert labels.size == labels.shape[told[0]] == count and np.array_equal(labels.ravel(), np.arange(count))
    elif here in rule.mixed:
        assert labels.size == 1
    else:  # it is cut, and so are the features
        assert rule.cuts or rule.regrouped
        assert set(labels.ravel()) <= set(range(count))
