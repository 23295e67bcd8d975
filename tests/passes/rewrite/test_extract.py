import numpy as np
import onnx
import oracles
import pytest
from onnx import helper as h
from onnx import numpy_helper as nh

from scission.ir.axes.region import region_of
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.plan import Plan
from scission.models.planted import ffn as planted_ffn
from scission.models.planted.products import KINDS, build, feeds
from scission.models.planted.recurrent import Cell, build_cell
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.planning.units.unit import alone, plan_units
from scission.passes.rewrite.extract import ExtractError, extract, extract_nodes
from scission.passes.rewrite.prepare import planned_view
from scission.passes.rewrite.rewrite import rewrite

UNTOLD = {"matmul-right-unknown"}  # kinds whose activation has no rank


def parts(model, **options):
    """(view, plan, [(unit, its submodel)]) of a model that is split wherever it splits."""
    loaded = load(model)
    plan = make_plan(loaded, PlanSettings(force=True, **options))
    seen = planned_view(loaded.graph, plan)
    return seen, plan, [(unit, extract(seen, unit.operators, unit.inner)) for unit in plan_units(plan, seen)]


def proto(model):
    return ir.to_proto(model)


def random_feed(model, free=3):
    """Random values for the inputs of a submodel; symbols have one size each."""
    rng = np.random.default_rng(0)
    feed = {}
    for value in model.graph.inputs:
        shape = [dim if isinstance(dim, int) else free for dim in value.shape]
        feed[value.name] = rng.standard_normal(shape).astype(value.dtype.numpy())
    return feed


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in UNTOLD])
def test_a_plan_for_one_unit_holds_for_its_submodel(kind):
    _, plan, found = parts(build(np.random.default_rng(0), kind).model)
    assert found
    for unit, part in found:
        changed = rewrite(part, alone(plan, unit.steps, (unit.region,) if unit.region else ()))
        if all(value.dtype is not None and value.dtype.is_floating_point() for value in part.graph.inputs):
            feed = random_feed(part)
            # ONNX Runtime multiplies a quantised weight in 8 bits when it optimises.
            runs = [oracles.run(proto(one), feed, optimised="dequantize" not in kind) for one in (part, changed)]
            oracles.assert_close(*runs)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in UNTOLD])
def test_nothing_of_the_model_is_changed(kind):
    planted = build(np.random.default_rng(0), kind)
    loaded = load(planted.model)
    plan = make_plan(loaded, PlanSettings(force=True))
    seen = planned_view(loaded.graph, plan)
    before = proto(seen.model).SerializeToString()
    uses = {value: len(value.uses()) for node in seen.model.graph for value in node.outputs}
    for unit in plan_units(plan, seen):
        extract(seen, unit.operators, unit.inner)
    assert proto(seen.model).SerializeToString() == before
    assert {value: len(value.uses()) for node in seen.model.graph for value in node.outputs} == uses
    oracles.run(planted.model, feeds(np.random.default_rng(1), planted))


def test_a_region_is_cut_out_whole_and_constants_are_shared():
    planted = planted_ffn.build(np.random.default_rng(0), d=16, hidden=32, blocks=4)
    seen, _, ((unit, part),) = parts(planted.model)
    assert [value.name for value in part.graph.inputs] == ["x"] and list(part.graph.inputs[0].shape)[1] == 16
    assert part.graph.inputs[0].shape[0].value == "batch"
    assert [value.name for value in part.graph.outputs] == ["y"]
    assert {"up", "down", "up_bias", "down_bias"} < {node.name for node in part.graph}
    for name in ("U", "V"):
        assert part.graph.initializers[name].const_value is seen.model.graph.initializers[name].const_value
    again = planned_view(part, Plan(model="", provider="cpu", batch=(1,), parameters=0, steps=(), skipped=()))
    region = region_of(again.found.linears, again.found.constants)
    assert [one.address for one in region.linears] == [one.address for one in unit.operators]
    assert len(region.inner) == len(unit.inner)


def test_a_linear_alone_takes_its_bias_and_leaves_what_follows():
    nodes = [
        ("Relu", ["x"], ["r"], {"name": "before"}),
        ("MatMul", ["r", "W"], ["p"], {"name": "product"}),
        ("Add", ["p", "b"], ["h"], {"name": "bias"}),
        ("Relu", ["h"], ["y"], {"name": "after"}),
    ]
    W = np.kron(np.eye(2), np.ones((3, 3))).astype(np.float32)
    model = oracles.graph(nodes, {"x": ["m", 6]}, {"y": ["m", 6]}, {"W": W, "b": np.ones(6, np.float32)})
    _, _, ((_, part),) = parts(model)
    assert [node.name for node in part.graph] == ["product", "bias"]
    assert [value.name for value in part.graph.outputs] == ["h"]


def test_opset_and_ir_version_stay_and_old_models_list_their_initializers():
    model = build(np.random.default_rng(0), "gemm").model
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.append(h.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    _, _, ((_, part), *_) = parts(model)
    assert part.ir_version == 3 and part.opset_imports[""] == model.opset_import[0].version
    assert set(part.graph.initializers) < {value.name for value in part.graph.inputs}
    onnx.checker.check_model(proto(part))


def test_sizes_are_computed_as_in_the_model():
    """A Reshape whose target is computed from the shape of another input."""
    W = np.kron(np.eye(2), np.ones((4, 4))).astype(np.float32)
    nodes = [
        h.make_node("Shape", ["ids"], ["s"], "shape"),
        h.make_node("Concat", ["s", "width"], ["target"], "target", axis=0),
        h.make_node("MatMul", ["x", "A"], ["a"], "first"),
        h.make_node("Reshape", ["a", "target"], ["r"], "reshape"),
        h.make_node("MatMul", ["r", "B"], ["y"], "second"),
    ]
    ins = [h.make_tensor_value_info("ids", 7, ["n", "t"]), h.make_tensor_value_info("x", 1, ["n", "t", 8])]
    held = [nh.from_array(W, "A"), nh.from_array(W, "B"), nh.from_array(np.array([8]), "width")]
    outs = [h.make_tensor_value_info("y", 1, ["n", "t", 8])]
    graph = h.make_graph(nodes, "g", ins, outs, held)
    loaded = load(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8))
    seen = planned_view(loaded.graph, make_plan(loaded, PlanSettings(force=True)))
    both = list(seen.found.linears)
    region = region_of(both, seen.found.constants)
    part = extract(seen, region.linears, [node for node in seen.model.graph if node.name == "reshape"])
    assert {value.name for value in part.graph.inputs} == {"ids", "x"}
    assert {node.name for node in part.graph} == {"shape", "target", "first", "reshape", "second"}
    feed = {"ids": np.zeros((2, 3), np.int64), "x": np.ones((2, 3, 8), np.float32)}
    assert oracles.run(proto(part), feed)[0].shape == (2, 3, 8)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("place", ["main", "if", "loop", "function"])
def test_recurrent_operators_are_cut_out_with_all_their_directions(direction, place):
    cell = Cell(op="LSTM", direction=direction, sizes=((2, 3), (2, 3)), place=place, lengths=True)
    _, plan, found = parts(build_cell(np.random.default_rng(0), cell).model)
    assert found
    for unit, part in found:
        assert len(unit.steps) == (2 if direction == "bidirectional" else 1)
        assert oracles.operators(proto(part))["LSTM"] == 1
        changed = rewrite(part, alone(plan, unit.steps, ()))
        assert oracles.operators(proto(changed))["LSTM"] >= 2


def test_what_cannot_stand_alone_is_refused():
    with pytest.raises(ExtractError, match="unknown rank"):
        parts(build(np.random.default_rng(0), "matmul-right-unknown").model)
    loaded = load(build(np.random.default_rng(0), "if").model)
    seen = planned_view(loaded.graph, make_plan(loaded, PlanSettings(force=True)))
    assert len({one.node.graph for one in seen.found.linears}) > 1
    with pytest.raises(ExtractError, match="different graphs"):
        extract(seen, seen.found.linears)


def test_any_nodes_are_cut_out_with_what_leaves_them():
    """A chain of three of which others read the first too: that leaves as well, and the nodes have their addresses."""
    nodes = [("Neg", ["x"], ["a"]), ("Exp", ["a"], ["b"]), ("Mul", ["b", "two"], ["c"]), ("Add", ["a", "c"], ["y"])]
    model = oracles.graph(nodes, {"x": ["n", 3]}, {"y": ["n", 3]}, {"two": np.float32([2])})
    seen = view(load(model).graph)
    first, second, third, _ = seen.model.graph
    part = extract_nodes(seen, [first, second, third])
    assert [value.name for value in part.graph.outputs] == ["a", "c"]
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    oracles.assert_close([-x, 2 * np.exp(-x)], oracles.run(proto(part), {"x": x}))
