"""Weights that only pick features."""

import dataclasses

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scission
from scission.ir.plan.plan import Block
from scission.passes.lowering.linear.select import selection


def picking(index, K, dtype=np.float32):
    W = np.zeros((K, len(index)), dtype)
    W[index, np.arange(len(index))] = 1
    return W


@given(st.integers(1, 6).flatmap(lambda K: st.tuples(st.just(K), st.lists(st.integers(0, K - 1), min_size=1))))
def test_a_selection_is_what_picks(case):
    K, index = case
    assert selection(picking(index, K)).tolist() == index


@given(oracles.relations(largest=5), st.sampled_from([1.0, -1.0, 2.0, np.nan, 1 + 2**-20]))
def test_everything_else_is_none(relation, value):
    W = relation * np.float32(value)
    found = selection(np.where(relation, np.float32(value), np.float32(0)))
    singles = all(column.sum() == 1 for column in relation.T)
    if relation.size and singles and value == 1.0:
        assert [W[i, j] for j, i in enumerate(found)] == [1] * W.shape[1]
    else:
        assert found is None


INDEX = [4, 0, 0, 2, 5, 1, 3]
K, N = 6, len(INDEX)
STEPS = {  # op, operands, shapes of x, attributes
    "matmul": ("MatMul", "xW", ["m", K], {}),
    "matmul of rank 1": ("MatMul", "xW", [K], {}),
    "matmul of rank 3": ("MatMul", "xW", ["a", "b", K], {}),
    "matmul of no rank": ("MatMul", "xW", None, {}),
    "left": ("MatMul", "Vx", [K, "m"], {}),
    "left of rank 3": ("MatMul", "Vx", ["a", K, "m"], {}),
    "gemm": ("Gemm", "xW", ["m", K], {}),
    "gemm with all": ("Gemm", "xVb", ["m", K], {"alpha": -2.5, "beta": 0.5, "transB": 1}),
    "gemm with its own residual": ("Gemm", "xSx", ["m", K], {}),
    "gemm on columns": ("Gemm", "xWb", [K, "m"], {"transA": 1}),
    "einsum": ("Einsum", "xW", ["b", K, "h", "w"], {"equation": "bkhw,kn->bnhw"}),
    "conv": ("Conv", "xCb", ["b", K, "h", "w"], {"kernel_shape": [1, 1]}),
}


def model_of(name, dtype=np.float32, opset=17):
    op, operands, shape, attributes = STEPS[name]
    W = picking(INDEX, K, dtype)
    constants = {
        "W": W,
        "V": W.T,
        "S": picking(INDEX[:-1], K, dtype),
        "C": W.T[:, :, None, None],
        "b": np.linspace(-1, 1, N).astype(dtype),
    }
    used = {letter: constants[letter] for letter in operands if letter in constants}
    return oracles.graph([(op, list(operands), ["y"], attributes)], {"x": shape}, {"y": None}, used, opset, 4)


@pytest.mark.parametrize("opset", [7, 11, 13, 21])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("name", STEPS)
def test_every_spelling_becomes_a_gather_bit_for_bit(name, dtype, opset):
    if (name == "einsum" and opset < 12) or (name == "gemm" and opset < 11) or (name == "conv" and dtype != np.float32):
        pytest.skip("no such operator")
    model = model_of(name, dtype, opset)
    plan = scission.plan(model, provider="cpu", force=True)
    (step,) = plan.steps
    assert step.lowering == "select" and step.sha256 and "every output is one input" in str(step.reason)
    assert scission.Plan.loads(plan.dumps()) == plan
    changed = scission.apply(model, plan)
    assert not {"MatMul", "Gemm", "Conv", "Einsum", "FusedMatMul"} & set(oracles.operators(changed))
    rng = np.random.default_rng(0)
    for free in (0, 1, 3):
        shape = [d if isinstance(d, int) else free for d in STEPS[name][2] or ["a", "b", K]]
        x = {"x": rng.standard_normal(shape).astype(dtype)}
        before = (oracles.run if free else oracles.runs)(model, x)
        if before is not None:
            after = oracles.run(changed, x)
            rounds = dtype == np.float16 or "gemm with" in name or "conv" in name or "columns" in name
            (oracles.assert_close if rounds else np.testing.assert_array_equal)(before, after)


def test_the_identity_is_an_identity():
    W = np.eye(5, dtype=np.float32)
    model = oracles.graph([("MatMul", ["x", "W"], ["y"])], {"x": ["m", 5]}, {"y": ["m", 5]}, {"W": W})
    changed = scission.apply(model, scission.plan(model, provider="cpu", force=True))
    assert [node.op_type for node in changed.graph.node] == ["Identity"] and not changed.graph.initializer
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    np.testing.assert_array_equal(oracles.run(changed, {"x": x})[0], x)


def test_a_bias_behind_stays_behind():
    constants = {"W": picking(INDEX, K), "b": np.arange(N, dtype=np.float32)}
    nodes = [("MatMul", ["x", "W"], ["t"]), ("Add", ["t", "b"], ["y"])]
    model = oracles.graph(nodes, {"x": ["m", K]}, {"y": ["m", N]}, constants)
    changed = scission.apply(model, scission.plan(model, provider="cpu", force=True))
    assert [node.op_type for node in changed.graph.node][-2:] == ["GatherElements", "Add"]
    x = {"x": np.random.default_rng(0).standard_normal((3, K)).astype(np.float32)}
    np.testing.assert_array_equal(oracles.run(model, x)[0], oracles.run(changed, x)[0])


def test_large_selections_are_chosen_without_force():
    index = np.random.default_rng(0).permutation(1024)
    model = oracles.graph(
        [("MatMul", ["x", "W"], ["y"])], {"x": ["m", 1024]}, {"y": ["m", 1024]}, {"W": picking(index, 1024)}
    )
    (step,) = scission.plan(model, provider="cpu").steps
    assert step.lowering == "select" and step.gain > 2


REFUSED = {
    "another weight": (2 * picking([1, 0], 2), "a single 1 for every output"),
    "no input": (np.eye(3, dtype=np.float32)[:, [0, 1, 2, 2]] * np.array([1, 1, 1, 0], np.float32), "reads none"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_plan_edited_by_hand_is_held_against_the_weight(case):
    W, message = REFUSED[case]
    rows, columns = W.shape
    model = oracles.graph([("MatMul", ["x", "W"], ["y"])], {"x": ["m", rows]}, {"y": ["m", columns]}, {"W": W})
    plan = scission.plan(model, provider="cpu", force=True)
    with pytest.raises(scission.PlanError, match=f"n0: .*{message}.*'scatter'"):
        scission.apply(model, oracles.edited(plan, "select"))


def test_blocks_of_a_selection_still_have_to_cover_it():
    model = model_of("matmul")
    plan = oracles.edited(scission.plan(model, provider="cpu", force=True), blocks=lambda _: [Block([0], range(N))])
    with pytest.raises(scission.PlanError, match="reads an input outside its block"):
        scission.apply(model, plan)


def test_strides_keep_a_convolution():
    W = picking([1, 0, 2], 3).T[:, :, None]
    nodes = [("Conv", ["x", "W"], ["y"], {"kernel_shape": [1], "strides": [2]})]
    model = oracles.graph(nodes, {"x": ["b", 3, "n"]}, {"y": None}, {"W": W})
    plan = scission.plan(model, provider="cpu", force=True)
    assert plan.steps[0].lowering not in ("dense", "select")
    edited = dataclasses.replace(plan, steps=(dataclasses.replace(plan.steps[0], lowering="select"),))
    with pytest.raises(scission.PlanError, match="keeps all pixels"):
        scission.apply(model, edited)
