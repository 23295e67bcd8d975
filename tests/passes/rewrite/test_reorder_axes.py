"""Another order for features: constants are permuted, and everything between stays as it was."""

import dataclasses

import numpy as np
import onnx
import onnx_ir as ir
import oracles
import pytest
from rewritten import origin, plan
from shared_axes import chosen as orders_of
from shared_axes import encoder, ffn, looked_at

from scission import Plan, PlanError
from scission.ir.io import tensors
from scission.ir.io.load import load
from scission.ir.io.save import save
from scission.ir.plan.axis_order import Reordering
from scission.passes.rewrite.reorder_axes import reorder_axes
from scission.passes.rewrite.rewrite import rewrite

# Another order for features.


def swapped(value="h", axis=1, size=12):
    return Reordering(value=value, axis=axis, order=np.arange(size)[::-1])


def reordered(proto, *orders, functions=()):
    return ir.to_proto(reorder_axes(ir.from_proto(proto), orders, functions))


def held(proto):
    return {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}


def test_constants_are_permuted_and_values_renamed():
    model = ffn(np.random.default_rng(0))
    changed = reordered(model, swapped())
    before, after = held(model), held(changed)
    assert set(after) == {"U/reordered", "c/reordered", "V/reordered"}
    np.testing.assert_array_equal(after["U/reordered"], before["U"][:, ::-1])
    np.testing.assert_array_equal(after["c/reordered"], before["c"][::-1])
    np.testing.assert_array_equal(after["V/reordered"], before["V"][::-1])
    assert [list(n.output) for n in changed.graph.node] == [[f"{n}/reordered"] for n in "hkz"] + [["y"]]
    assert [n.name for n in changed.graph.node] == [n.name for n in model.graph.node]
    assert oracles.interface(changed) == oracles.interface(model)
    assert {p.key: p.value for p in changed.metadata_props} == {"scission.reordered": "the features of 1 shared axis"}
    onnx.checker.check_model(changed, full_check=True)


def test_reordering_changes_neither_the_model_that_it_is_given_nor_what_it_computes():
    proto = encoder(np.random.default_rng(0))
    graph = ir.from_proto(proto)
    orders = [swapped("x0", 2, 8), swapped("q.1", 2, 8), swapped("u.0", 2, 24)]
    changed = ir.to_proto(reorder_axes(graph, orders))
    assert ir.to_proto(graph).SerializeToString() == ir.to_proto(ir.from_proto(proto)).SerializeToString()
    feeds = {"ids": np.arange(10).reshape(2, 5)}
    oracles.assert_close(oracles.run(proto, feeds), oracles.run(changed, feeds), 1e-12)
    assert any(name in oracles.value_names(changed) for name in ("d.0/reordered",))
    twice = reordered(changed, *[dataclasses.replace(one, value=f"{one.value}/reordered") for one in orders])
    for name, array in held(proto).items():
        there = held(twice).get(name, held(twice).get(f"{name}/reordered/reordered"))
        np.testing.assert_array_equal(there, array)


def test_another_reader_of_a_constant_keeps_it():
    model = ffn(np.random.default_rng(0))
    model.graph.node.append(onnx.helper.make_node("MatMul", ["x", "U"], ["other"], "other"))
    model.graph.output.append(onnx.helper.make_tensor_value_info("other", onnx.TensorProto.DOUBLE, ["b", 12]))
    changed = reordered(model, swapped())
    assert set(held(changed)) == {"U", "U/reordered", "c/reordered", "V/reordered"}
    feeds = {"x": np.random.default_rng(1).standard_normal((4, 6))}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds), 1e-13)


def test_constants_behind_operators_stay_behind_them():
    """A tied table is looked up, and multiplied by its transpose; a quantised weight stays quantised."""
    rng = np.random.default_rng(0)
    names = {"table": rng.standard_normal((9, 6)).astype(np.float32), "scale": np.float32(rng.uniform(1, 2, 6))}
    names |= {"Q": rng.integers(-9, 9, (6, 4)).astype(np.int8), "zero": np.arange(6, dtype=np.int8)}
    nodes = [
        ("Gather", ["table", "ids"], ["h"]),
        ("Transpose", ["table"], ["turned"], {"perm": [1, 0]}),
        ("MatMul", ["h", "turned"], ["y"]),
        ("DequantizeLinear", ["Q", "scale", "zero"], ["W"], {"axis": 0}),
        ("MatMul", ["h", "W"], ["z"]),
    ]
    model = oracles.graph(nodes, {}, {"y": ["b", 9], "z": ["b", 4]}, names)
    model.graph.input.append(onnx.helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["b"]))
    changed = reordered(model, Reordering(value="h", axis=1, order=[3, 1, 5, 0, 2, 4]))
    assert oracles.stored(changed) == {f"{name}/reordered" for name in names}
    assert oracles.operators(changed) == oracles.operators(model)
    assert max(oracles.node_names(changed).values()) == 1
    made = [(node.name, origin(node)) for node in changed.graph.node if origin(node)]
    assert made == [("n1/reordered/Transpose", "n1"), ("n3/reordered/DequantizeLinear", "n3")]
    feeds = {"ids": np.array([0, 8, 3])}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds))


def test_names_that_are_taken_are_left_to_their_owners_when_reordering():
    model = ffn(np.random.default_rng(0))
    for index, name in enumerate(("h/reordered", "U/reordered", "V/reordered")):
        model.graph.node.append(onnx.helper.make_node("Identity", ["x"], [name], f"extra{index}"))
    changed = reordered(model, swapped())
    assert set(oracles.value_names(changed).values()) == {1}
    feeds = {"x": np.ones((2, 6))}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds), 1e-13)


def test_before_ir_version_4_permuted_constants_are_inputs_as_well():
    model = ffn(np.random.default_rng(0))
    model.opset_import[0].version, model.ir_version = 13, 3
    for tensor in model.graph.initializer:
        model.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    changed = reordered(model, swapped())
    assert {value.name for value in changed.graph.input} == {"x"} | oracles.stored(changed)
    onnx.checker.check_model(changed, full_check=True)


def test_functions_are_inlined_first():
    W = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)
    body = [onnx.helper.make_node("MatMul", ["a", "w"], ["b"], "product")]
    function = onnx.helper.make_function("local", "F", ["a", "w"], ["b"], body, [onnx.helper.make_opsetid("", 17)])
    nodes = [("F", ["x", "W"], ["h"], {"domain": "local"}), ("Relu", ["h"], ["r"]), ("MatMul", ["r", "V"], ["y"])]
    model = oracles.graph(nodes, {"x": ["m", 3]}, {"y": ["m", 3]}, {"W": W, "V": W.T.copy()})
    model.functions.append(function)
    model.opset_import.append(onnx.helper.make_opsetid("local", 1))
    with pytest.raises(PlanError, match="local function"):
        reordered(model, swapped("r", 1, 6))
    changed = reordered(model, swapped("r", 1, 6), functions=[("local", "F", "")])
    chosen = dataclasses.replace(plan(model), inline=(("local", "F", ""),), reorderings=(swapped("r", 1, 6),), steps=())
    feeds = {"x": np.ones((2, 3), np.float32)}
    for new in (changed, ir.to_proto(rewrite(ir.from_proto(model), chosen))):
        assert "V/reordered" in oracles.stored(new)
        oracles.assert_close(oracles.run(model, feeds), oracles.run(new, feeds))


def test_a_plan_reorders_and_then_splits():
    model = ffn(np.random.default_rng(0))
    (order,) = orders_of(looked_at(model)[1])
    new = reordered(model, order)
    steps = plan(new)
    both = dataclasses.replace(steps, reorderings=(order,))
    changed = ir.to_proto(rewrite(ir.from_proto(model), Plan.loads(both.dumps())))
    assert steps.rewrites == steps.steps
    said = {p.key: p.value for p in changed.metadata_props}
    assert said.keys() == {"scission", "scission.plan", "scission.reordered"} and said["scission.plan"] == both.sha256
    feeds = {"x": np.random.default_rng(1).standard_normal((4, 6))}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds), 1e-13)


@pytest.mark.parametrize(
    ("orders", "why"),
    [
        ([swapped("nope")], "no such value"),
        ([swapped("x", 1, 6)], "x is an input of the model"),
        ([swapped("h", 1, 6)], "order is one of 6 features, the value has 12"),
        ([swapped("h", 2, 12)], "no operator with a constant weight"),
        ([swapped("h"), swapped("z")], "reorders its shared axis twice"),
    ],
)
def test_a_reordering_that_does_not_fit_is_refused(orders, why):
    with pytest.raises(PlanError, match=why):
        reordered(ffn(np.random.default_rng(0)), *orders)


def test_permuted_weights_in_files_are_read_one_at_a_time(tmp_path, monkeypatch):
    """Not when they are permuted, and not kept."""
    onnx.save(ffn(np.random.default_rng(0), 60, 120), tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0)
    model = load(tmp_path / "m.onnx")
    read = []
    whole = ir.ExternalTensor.numpy
    monkeypatch.setattr(ir.ExternalTensor, "numpy", lambda self: read.append(self.name) or whole(self))
    monkeypatch.setattr(
        "scission.passes.rewrite.constant_copies.read", lambda t: read.append(t.name) or tensors.read(t)
    )
    changed = reorder_axes(model.graph, [swapped(size=120)])
    assert read == []
    save(model, changed, tmp_path / "new.onnx")
    assert sorted(read) == ["U", "V", "c"]
    assert (tmp_path / "new.onnx.data").exists()
    feeds = {"x": np.ones((2, 60))}
    before, after = (onnx.load(tmp_path / name) for name in ("m.onnx", "new.onnx"))
    oracles.assert_close(oracles.run(before, feeds), oracles.run(after, feeds), 1e-12)
