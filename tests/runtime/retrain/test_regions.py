import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import model, node
from residual_networks import residual

torch = pytest.importorskip("torch")

from scission.ir.io.load import load  # noqa: E402
from scission.runtime.retrain.regions import agreeing, candidates, spaced  # noqa: E402
from scission.torch import to_torch  # noqa: E402


def graph(proto):
    return load(proto).graph.graph


def test_the_residual_stream_is_what_norms_make_of_its_sums():
    proto = residual()
    assert candidates(to_torch(proto), graph(proto)) == ("n0", "n1", "n2")


def test_a_stream_is_read_by_many_behind_its_sum():
    """Where norms stand before the layers, the sum itself runs on."""
    constants = {"s": np.ones(8, np.float32), "W": np.eye(8, dtype=np.float32)}
    nodes = [
        node("LayerNormalization", "x s", "n0"),
        node("MatMul", "n0 W", "p0"),
        node("Add", "x p0", "sum"),
        node("LayerNormalization", "sum s", "n1"),
        node("MatMul", "n1 W", "p1"),
        node("Add", "sum p1", "y"),
    ]
    proto = model(nodes, {"x": ["n", 8]}, {"y": ["n", 8]}, constants)
    assert candidates(to_torch(proto), graph(proto)) == ("sum",)


def test_without_a_stream_it_is_what_linears_hand_on_except_outputs():
    constants = {"A": np.ones((4, 6), np.float32), "B": np.ones((6, 2), np.float32)}
    nodes = [node("MatMul", "x A", "h", "a"), node("Relu", "h", "r"), node("MatMul", "r B", "y", "b")]
    proto = model(nodes, {"x": ["n", 4]}, {"y": ["n", 2]}, constants)
    assert candidates(to_torch(proto), graph(proto)) == ("r",)


def test_values_that_only_one_model_has_or_of_another_shape_are_none():
    wide, narrow = residual(hidden=64, layers=3), residual(hidden=8, layers=2)
    module = to_torch(narrow)
    assert candidates(module, graph(wide)) == ("n0", "n1")
    x = np.zeros((5, 16), np.float32)
    told = {"n0": np.zeros((5, 16), np.float32), "n1": np.zeros((5, 32), np.float32)}
    assert agreeing(module, ("n0", "n1"), {"x": x}, told) == ("n0",)


def test_what_is_observed_is_what_the_model_computes_and_passes_gradients():
    proto = residual()
    module = to_torch(proto)
    x = torch.randn(3, 16)
    y, seen = module.observe(("n1",), x=x)
    assert torch.equal(y, module(x)) and seen.shape == (3, 16)
    seen.square().sum().backward()
    grads = {name: one.grad is not None for name, one in module.weights.items()}
    assert grads["up0"] and grads["up1"] and not grads["up2"]


@given(st.integers(0, 30), st.integers(0, 40))
def test_some_of_them_are_evenly_spaced_and_end_with_the_last(count, most):
    found = spaced([str(one) for one in range(count)], most)
    places = [int(one) for one in found]
    assert len(places) == min(count, most) and places == sorted(set(places))
    gaps = np.diff([-1, *places])
    assert not places or (places[-1] == count - 1 and gaps.max() - gaps.min() <= 1)
