import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perturbed import run

from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.plan import PlanError
from scission.passes.rewrite.pruning.put_weights import put_weights


def network(form, W, rng):
    """x W, in one of its spellings, with a bias or without, and the same bias behind."""
    bias = rng.standard_normal(W.shape[1]).astype(np.float32)
    node = {"name": "up"}
    if form == "MatMul":
        nodes, inits = [("MatMul", ["x", "W"], ["y"], node)], {"W": W}
    elif form == "Add":
        nodes, inits = [("MatMul", ["x", "W"], ["h"], node), ("Add", ["h", "b"], ["y"], {})], {"W": W, "b": bias}
    elif form == "Gemm":
        nodes, inits = [("Gemm", ["x", "W", "b"], ["y"], node | {"transB": 1, "alpha": 0.5})], {"W": W.T, "b": bias}
    else:
        nodes, inits = [("Gemm", ["x", "W"], ["y"], node)], {"W": W}
    return oracles.graph(nodes, {"x": ["n", W.shape[0]]}, {"y": ["n", W.shape[1]]}, inits)


@settings(deadline=None, max_examples=30)
@given(form=st.sampled_from(["MatMul", "Add", "Gemm", "plain Gemm"]), seed=st.integers(0, 2**20), adds=st.booleans())
def test_the_model_computes_with_the_new_weights_and_adds_what_is_to_be_added(form, seed, adds):
    rng = np.random.default_rng(seed)
    K, N = (int(one) for one in rng.integers(1, 6, 2))
    W, V = (rng.standard_normal((K, N)).astype(np.float32) for _ in range(2))
    added = rng.standard_normal(N) if adds else np.zeros(N)
    proto = network(form, W, rng)
    x = {"x": rng.standard_normal((3, K)).astype(np.float32)}
    before = run(proto, x)[0]
    graph = load(proto).graph
    after = run(ir.to_proto(put_weights(graph, {"up": (V, added)})), x)[0]
    scale = 0.5 if form == "Gemm" else 1.0
    np.testing.assert_allclose(after, before + scale * (x["x"] @ (V - W) + added), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(run(ir.to_proto(graph), x)[0], before)  # the model itself is left as it is


def test_what_is_not_there_or_does_not_fit_is_refused():
    graph = load(network("MatMul", np.ones((2, 3), np.float32), np.random.default_rng(0))).graph
    with pytest.raises(PlanError, match="down: the model has no such linear"):
        put_weights(graph, {"down": (np.ones((2, 3)), np.zeros(3))})
    with pytest.raises(PlanError, match=r"up: weights of shape \(3, 2\)"):
        put_weights(graph, {"up": (np.ones((3, 2)), np.zeros(3))})


def test_a_weight_that_is_read_twice_is_replaced_at_one_place():
    W = np.eye(3, dtype=np.float32)
    nodes = [("MatMul", ["x", "W"], ["h"], {"name": "a"}), ("MatMul", ["h", "W"], ["y"], {"name": "b"})]
    graph = load(oracles.graph(nodes, {"x": ["n", 3]}, {"y": ["n", 3]}, {"W": W})).graph
    x = {"x": np.ones((1, 3), np.float32)}
    after = run(ir.to_proto(put_weights(graph, {"a": (2 * W, np.zeros(3))})), x)[0]
    np.testing.assert_array_equal(after, 2 * x["x"])
