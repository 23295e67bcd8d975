import numpy as np
import onnx
import oracles
import pytest
from onnx import helper, numpy_helper

import scission

RNG = np.random.default_rng(0)
W = RNG.standard_normal((6, 8)).astype(np.float32)
V = RNG.standard_normal((6, 4)).astype(np.float32)


def model_of(array, name="w", product="product", op="MatMul"):
    x, y = ["n", array.shape[0]], ["n", array.shape[1]]
    return oracles.graph([(op, ["x", name], ["y"], {"name": product})], {"x": x}, {"y": y}, {name: array})


CASES = [
    (W + 1, "changed"),
    (W[:, ::-1].copy(), "permuted"),
    (W.astype(np.float16), "cast"),
    (W[:, 2:5].copy(), "slice"),
    (W[[3, 1]][:, [5, 2]].copy(), "permuted slice"),
    (W.T.copy(), "transposed"),
    (W.reshape(8, 6).copy(), "reshaped"),
]


@pytest.mark.parametrize(("array", "kind"), CASES)
@pytest.mark.parametrize("name", ["w", "other"])
def test_a_constant_in_the_place_of_another(array, kind, name):
    (one,) = scission.diff(model_of(W), model_of(array, name)).tensors
    assert (one.kind, one.after.name, [at.name for at in one.before]) == (kind, name, ["w"])
    assert one.readers == ("product",) and (one.drift is not None) is (kind == "changed")


def test_names_do_not_count():
    found = scission.diff(model_of(W), model_of(W, "other"))
    assert found.same and [(one.before[0].name, one.after.name) for one in found.renamed] == [("w", "other")]


def test_a_constant_node_is_as_good_as_an_initializer():
    model = model_of(W)
    other = onnx.ModelProto()
    other.CopyFrom(model)
    del other.graph.initializer[:]
    other.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(W)))
    found = scission.diff(model, other)
    assert found.same and found.renamed[0].detail == "initializer -> Constant node"


def test_merged_and_taken_apart():
    """Two products of one input, and one product with both weights beside each other."""
    ports = {"x": ["n", 6]}, {"y": ["n", 12]}
    apart = oracles.graph(
        [("MatMul", ["x", "w"], ["a"]), ("MatMul", ["x", "v"], ["b"]), ("Concat", ["a", "b"], ["y"], {"axis": 1})],
        *ports,
        {"w": W, "v": V},
    )
    joined = oracles.graph([("MatMul", ["x", "both"], ["y"])], *ports, {"both": np.hstack([W, V])})
    (one,) = scission.diff(apart, joined).tensors
    assert (one.kind, {at.name for at in one.before}, one.detail) == ("merged", {"w", "v"}, "100% of its entries")
    found = {one.after.name: one for one in scission.diff(joined, apart).tensors}
    assert {name: (one.kind, one.detail) for name, one in found.items()} == {
        "w": ("slice", "columns 0:8"),
        "v": ("slice", "columns 8:12"),
    }


def test_stacked():
    parts = np.stack([W[[2, 0, 1]], W[3:]])
    ports = {"x": ["n", 6]}, {"y": [2, "n", 8]}
    before = oracles.graph([("MatMul", ["x", "w"], ["h"]), ("Relu", ["h"], ["y"])], *ports, {"w": W})
    after = oracles.graph([("Tile", ["x", "t"], ["a"]), ("MatMul", ["a", "s"], ["y"])], *ports, {"s": parts, "t": V})
    kinds = {one.after.name: one.kind for one in scission.diff(before, after).tensors if one.after}
    assert kinds["s"] == "stacked"


def test_new_and_removed():
    ports = {"x": ["n", 6]}, {"y": ["n", 8]}
    one = oracles.graph([("MatMul", ["x", "w"], ["y"])], *ports, {"w": W})
    two = oracles.graph([("MatMul", ["x", "w"], ["y"])], *ports, {"w": W, "idle": V})
    assert [(t.kind, t.after.name) for t in scission.diff(one, two).tensors] == [("new", "idle")]
    assert [(t.kind, t.before[0].name) for t in scission.diff(two, one).tensors] == [("removed", "idle")]


def test_a_constant_that_took_the_place_of_a_node():
    ports = {"x": ["n", 8]}, {"y": ["n", 6]}
    one = oracles.graph(
        [("Transpose", ["w"], ["t"], {"perm": [1, 0]}), ("MatMul", ["x", "t"], ["y"])], *ports, {"w": W}
    )
    two = oracles.graph([("MatMul", ["x", "t"], ["y"])], *ports, {"t": W.T.copy()})
    found = scission.diff(one, two)
    assert [(t.kind, t.before[0].name) for t in found.tensors] == [("transposed", "w")]
    assert [group.kind for group in found.groups] == ["removed"]
