from collections import Counter

import numpy as np
import onnx
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scission
from scission import PlanError
from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.provenance import ORIGIN
from scission.ir.reason import Cause
from scission.models.matrix import weight
from scission.models.planted import ffn as planted_ffn
from scission.models.planted.products import KINDS, build, feeds
from scission.passes.lowering.linear.scatternd import ScatterNd, turned
from scission.passes.lowering.target import Target

LITERAL = {"Gather", "MatMul", "ScatterND"}
ENDS = {"Transpose", "Reshape", "Shape", "Slice", "Equal", "Cast", "Sub"}  # layouts of more than two axes, in any set
BESIDES = {"Concat", "ConstantOfShape", "Constant", "DequantizeLinear", "Mul", "Add", "Pad", "Relu"}
FUNCTIONS = {  # of FusedGemm, with what they take
    "Relu": {},
    "Sigmoid": {},
    "Tanh": {},
    "LeakyRelu": {"alpha": 0.3},
    "Elu": {"alpha": 0.7},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.4},
    "Selu": {"alpha": 1.5, "gamma": 1.2},
    "Softplus": {},
    "Softsign": {},
    "ThresholdedRelu": {"alpha": 0.2},
}


def emitted(model):
    """The operators that stand in for each linear, by its address."""
    found: dict[str, Counter] = {}
    for node in oracles.every_node(model):
        for entry in node.metadata_props:
            if entry.key == ORIGIN:
                found.setdefault(entry.value, Counter())[node.op_type] += 1
    return found


def expected_transposes(linear):
    layout = turned(linear)
    return 2 if layout.kind == "rows" else (layout.enter is not None) + (layout.exit is not None)


@pytest.mark.parametrize("dormant", [(0, 0), (1, 2)])
@pytest.mark.parametrize("kind", KINDS)
def test_what_splits_is_gather_products_and_one_scatter_in_every_kind(kind, dormant):
    planted = build(np.random.default_rng(5), kind, dormant=dormant)
    plan = scission.plan(planted.model, provider="cpu", threads=1, lowering="scatternd")
    assert {step.lowering for step in plan.steps} <= {"dense", "scatternd", "cells"}
    changed = scission.apply(planted.model, plan)
    by_origin = emitted(changed)
    linears = {one.address: one for one in survey(load(planted.model).graph).linears}
    for step in plan.steps:
        if step.lowering == "dense":
            assert "scatter" in str(step.reason) or step.components < 2, step.reason
        assert step.lowering == "scatternd" or not kind.startswith(("conv-1d", "conv-2d", "conv-3d", "fused-gemm"))
        if step.lowering != "scatternd":
            continue
        ops, blocks = by_origin[step.node], len(step.decomposition.blocks)
        assert blocks == step.components
        assert {op: ops[op] for op in LITERAL} == {"Gather": blocks, "MatMul": blocks, "ScatterND": 1}
        assert set(ops) <= LITERAL | ENDS | BESIDES
        if step.node in linears:  # not out of a function
            assert ops["Transpose"] == expected_transposes(linears[step.node])
    inputs = feeds(np.random.default_rng(6), planted)
    optimised = "dequantize" not in kind  # which ONNX Runtime multiplies in eight bits where nothing splits it
    oracles.assert_close(oracles.run(planted.model, inputs, optimised), oracles.run(changed, inputs, optimised))


def test_features_on_the_first_axis_need_no_transpose():
    W, _ = weight(np.random.default_rng(0), [(3, 4)] * 3)
    nodes = [("MatMul", ["W", "x"], ["y"])]
    model = oracles.graph(nodes, {"x": [9, "n"]}, {"y": [12, "n"]}, {"W": np.ascontiguousarray(W.T)})
    plan = scission.plan(model, provider="cpu", threads=1, lowering=["scatternd"])
    changed = scission.apply(model, plan)
    assert Counter(node.op_type for node in changed.graph.node) == {
        **dict.fromkeys(("Gather", "MatMul"), 3),
        **dict.fromkeys(("Concat", "ScatterND"), 1),
    }
    x = np.random.default_rng(1).standard_normal((9, 4)).astype(np.float32)
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}))
    onnx.checker.check_model(changed, full_check=True)


@pytest.mark.parametrize("opset", [11, 13, 17])
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_dormant_outputs_are_the_zero_channel_in_every_operator_set(opset, rows):
    W, _ = weight(np.random.default_rng(0), [(3, 4)] * 2, dormant=(2, 3))
    constants = {"W": W, "b": np.float32(np.arange(11))}
    ends = {"x": ["n", 8]}, {"y": ["n", 11]}
    model = oracles.graph([("Gemm", ["x", "W", "b"], ["y"], {"alpha": 0.5, "beta": 2.0})], *ends, constants, opset, 8)
    changed = scission.apply(model, scission.plan(model, provider="cpu", threads=1, lowering="scatternd"))
    assert oracles.operators(changed)["ScatterND"] == 1
    x = np.random.default_rng(1).standard_normal((rows, 8)).astype(np.float32)
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}))


@pytest.mark.parametrize("opset", [9, 10])
@pytest.mark.parametrize("dormant", [(0, 0), (2, 3)])
def test_before_its_operator_set_scatternd_is_a_scatter_along_the_features(opset, dormant):
    W, _ = weight(np.random.default_rng(0), [(3, 4)] * 2, dormant=dormant)
    ends = {"x": ["n", W.shape[0]]}, {"y": ["n", W.shape[1]]}
    constants = {"W": W, "b": np.float32(np.arange(W.shape[1]))}
    model = oracles.graph([("Gemm", ["x", "W", "b"], ["y"])], *ends, constants, opset, 5)
    changed = scission.apply(model, scission.plan(model, provider="cpu", threads=1, lowering="scatternd"))
    ops = oracles.operators(changed)
    assert (ops["Scatter"], ops["Gather"], ops["MatMul"], ops["ScatterND"]) == (1, 2, 2, 0)
    for rows in (0, 1, 5):
        x = {"x": np.random.default_rng(1).standard_normal((rows, W.shape[0])).astype(np.float32)}
        oracles.assert_close(oracles.run(model, x), oracles.run(changed, x))


def test_an_operator_set_that_scatters_nothing_says_so():
    W, _ = weight(np.random.default_rng(0), [(3, 4)] * 2)
    model = oracles.graph([("MatMul", ["x", "W"], ["y"])], {"x": ["n", 6]}, {"y": ["n", 8]}, {"W": W}, 8, 3)
    (step,) = scission.plan(model, provider="cpu", threads=1, lowering="scatternd").steps
    assert step.lowering == "dense" and "Scatter came with 9, ScatterND with 11; use 'scatter'" in step.reason.text


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dormant", [(0, 0), (0, 2)])
def test_the_function_of_a_fused_operator_follows_on_its_own(name, dormant):
    W, _ = weight(np.random.default_rng(0), [(3, 4)] * 2, dormant=dormant)
    attributes = {"domain": "com.microsoft", "activation": name, "alpha": 0.5, "beta": 2.0}
    attributes |= {f"activation_{key}": value for key, value in FUNCTIONS[name].items()}
    constants = {"W": W, "b": np.random.default_rng(1).standard_normal(W.shape[1]).astype(np.float32)}
    nodes = [("FusedGemm", ["x", "W", "b"], ["y"], attributes)]
    model = oracles.graph(nodes, {"x": ["n", 6]}, {"y": ["n", W.shape[1]]}, constants)
    changed = scission.apply(model, scission.plan(model, provider="cpu", threads=1, lowering="scatternd"))
    assert oracles.operators(changed)["ScatterND"] == oracles.operators(changed)[name] == 1
    x = {"x": 3 * np.random.default_rng(2).standard_normal((50, 6)).astype(np.float32)}
    oracles.assert_close(oracles.run(model, x), oracles.run(changed, x))


def test_a_function_that_is_no_operator_stays_fused():
    W, _ = weight(np.random.default_rng(0), [(3, 4)] * 2)
    nodes = [("FusedGemm", ["x", "W"], ["y"], {"domain": "com.microsoft", "activation": "Affine"})]
    model = oracles.graph(nodes, {"x": ["n", 6]}, {"y": ["n", 8]}, {"W": W})
    seen = survey(load(model).graph)
    why = ScatterNd().why_not(seen.linears[0], None, Target())
    assert why.cause is Cause.FUSED and "Affine of FusedGemm is no operator" in why.text


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_any_convolution_of_one_pixel_is_written_literally(data):
    """Strides, pads and what is said of padding instead, over one to three axes."""
    axes, opset = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([11, 13, 17]))
    attributes = {"strides": data.draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))}
    if auto := data.draw(st.sampled_from(["", "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])):
        attributes["auto_pad"] = auto
    if auto in ("", "NOTSET"):
        attributes["pads"] = data.draw(st.lists(st.integers(0, 2), min_size=2 * axes, max_size=2 * axes))
    W, _ = weight(np.random.default_rng(0), [(2, 3)] * 2, dormant=data.draw(st.sampled_from([(0, 0), (1, 2)])))
    K, N = W.shape
    constants = {"W": W.T.reshape(N, K, *[1] * axes), "b": np.float32(np.arange(N))}
    extents = data.draw(st.lists(st.integers(1, 5), min_size=axes, max_size=axes))
    known = data.draw(st.booleans())
    dims = extents if known else ["a", "b", "c"][:axes]
    nodes = [("Conv", ["x", "W", "b"], ["y"], attributes)]
    model = oracles.graph(nodes, {"x": ["n", K, *dims]}, {"y": None}, constants, opset)
    plan = scission.plan(model, provider="cpu", threads=1, lowering="scatternd")
    assert [step.lowering for step in plan.steps] == ["scatternd"]
    changed = scission.apply(model, plan)
    for samples in (0, 2):
        x = {"x": np.random.default_rng(3).standard_normal((samples, K, *extents)).astype(np.float32)}
        oracles.assert_close(oracles.run(model, x), oracles.run(changed, x))


def test_a_region_is_taken_one_by_one():
    planted = planted_ffn.build(np.random.default_rng(0), 64, 256, 4)
    plan = scission.plan(planted.model, provider="cpu", threads=1, lowering="scatternd")
    assert not plan.regions and not plan.reorderings
    assert [step.lowering for step in plan.steps] == ["scatternd"] * 2
    only = scission.plan(planted.model, provider="cpu", threads=1, lowering="up=scatternd", rows=[4096])
    assert {step.node.rpartition("/")[2]: step.lowering for step in only.steps}["up"] == "scatternd"
    assert not only.regions


def test_one_node_is_named_by_its_name_or_its_weight():
    W, _ = weight(np.random.default_rng(0), [(64, 64)] * 4)
    V, _ = weight(np.random.default_rng(1), [(64, 64)] * 4)
    nodes = [("MatMul", ["x", "W"], ["h"], {"name": "one"}), ("MatMul", ["h", "V"], ["y"], {"name": "two"})]
    model = oracles.graph(nodes, {"x": ["n", 256]}, {"y": ["n", 256]}, {"W": W, "V": V})

    def ways(*lowering):
        plan = scission.plan(model, provider="cpu", threads=1, lowering=lowering, regions=False)
        assert plan == scission.Plan.loads(plan.dumps())
        return [step.lowering for step in plan.steps]

    default = ways()
    assert ways("one=scatternd") == ["scatternd", default[1]]
    assert ways("V=dense") == [default[0], "dense"]
    assert ways("batched", "two=scatternd") == ["batched", "scatternd"]
    assert ways("grouped") == ["grouped"] * 2
    with pytest.raises(PlanError, match="three"):
        ways("three=scatternd")


@pytest.mark.parametrize("name", ["scatter_nd", "", "region", "one=fast"])
def test_a_lowering_that_is_none_is_refused_with_the_choices(name):
    model = oracles.graph([("Relu", ["x"], ["y"])], {"x": ["n", 2]}, {"y": ["n", 2]}, {"W": np.float32([0])})
    with pytest.raises(PlanError, match="scatternd"):
        scission.plan(model, lowering=name)


def test_explain_says_what_the_literal_form_costs():
    W, _ = weight(np.random.default_rng(0), [(128, 128)] * 4)
    model = oracles.graph([("MatMul", ["x", "W"], ["y"])], {"x": ["n", 512]}, {"y": ["n", 512]}, {"W": W})
    found = scission.explain(model, "n0", provider="cpu")
    literal = next(trial for trial in found.trials if trial.what == "scatternd")
    assert literal.gain and literal.found.startswith("4 blocks") and literal.refused


def test_the_zero_channel_keeps_the_type():
    planted = build(np.random.default_rng(5), "fp64", dormant=(1, 2))
    changed = scission.apply(planted.model, scission.plan(planted.model, provider="cpu", lowering="scatternd"))
    zeros = [node for node in oracles.every_node(changed) if node.op_type == "ConstantOfShape"]
    assert [node.attribute[0].t.data_type for node in zeros] == [ir.DataType.DOUBLE]
