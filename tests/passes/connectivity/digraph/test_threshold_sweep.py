import numpy as np
import pytest
import torch
from digraphs import digraph, expected
from hypothesis import given
from hypothesis import strategies as st
from ml_dtypes import bfloat16

from scission.passes.connectivity.bipartite import components
from scission.passes.connectivity.digraph.threshold_sweep import structure_sweep

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(1, 25), st.sampled_from(["auto", "graph", "matrix", "search"]))
def test_levels_of_shared_states_are_those_of_networkx(seed, n, engine):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n)) * digraph(rng, n)
    thresholds = [0.0, 0.5, 1.5, 9.0]
    for level, t in zip(structure_sweep(W, thresholds, engine=engine), thresholds, strict=True):
        A = (np.abs(W) > t).T
        scc, component, layer, _ = expected(A)
        lone = int((~(A.any(0) | A.any(1))).sum())
        assert (level.predicate, level.edges, level.isolated) == (t, A.sum(), lone)
        assert (level.sccs, level.layers) == (scc.max() + 1, layer.max() + 1)
        assert level.components == component.max() + 1 - lone
        assert level.giant == np.bincount(component).max() / n


@given(SEEDS, st.integers(1, 20), st.integers(1, 20), st.booleans())
def test_levels_of_an_operator_are_its_components(seed, K, N, on_device):
    W = np.random.default_rng(seed).standard_normal((K, N))
    levels = structure_sweep(W, [0.1, 1.0, 2.0], scope="operator", device="cpu" if on_device else None)
    for level in levels:
        parts = components(np.abs(W) > level.predicate)
        assert (level.components, level.giant, level.edges) == (parts.count, parts.giant, parts.nonzeros)
        assert level.sccs is None and level.layers is None
    assert [level.edges for level in levels] == sorted((level.edges for level in levels), reverse=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, bfloat16, np.int8])
@pytest.mark.parametrize("device", [None, "cpu"])
def test_types_tensors_and_functions(dtype, device):
    W = np.array([[3, 0], [0, -2]], dtype)

    def positive(held):
        return held > 0

    levels = structure_sweep(W, [2.5, positive], device=device)
    assert [(v.predicate, v.components, v.isolated) for v in levels] == [(2.5, 1, 1), ("positive", 1, 1)]
    assert structure_sweep(torch.eye(3), [0.0])[0].components == 3


def test_nan_is_an_edge_at_every_threshold():
    W = np.array([[np.nan, 0.0], [0.0, np.inf]])
    assert [level.edges for level in structure_sweep(W, [0.0, 1e300])] == [2, 2]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="two dimensions, not 1"):
        structure_sweep(np.ones(3), [0.0])
    with pytest.raises(ValueError, match="has no shared states; use the scope 'operator'"):
        structure_sweep(np.ones((2, 3)), [0.0], scope="state")
    with pytest.raises(ValueError, match="unknown scope"):
        structure_sweep(np.ones((2, 3)), [0.0], scope="all")
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        structure_sweep(np.ones((2, 3)), [lambda held: True])


@pytest.mark.parametrize("threshold", [-1.0, float("nan")])
def test_thresholds_that_are_none(threshold):
    with pytest.raises(ValueError, match="no number from 0 up"):
        structure_sweep(np.eye(3), [0.0, threshold])


@pytest.mark.parametrize("dtype", [">f4", np.longdouble, np.complex64, bool, np.int64])
def test_a_device_gives_the_levels_of_the_host(dtype):
    W = np.array([[1, 0, 0], [0, 2, 3], [0, 0, 0]]).astype(dtype)
    W = W * 1j if W.dtype.kind == "c" else W
    assert structure_sweep(W, [0.0, 1.0, 2.5], device="cpu") == structure_sweep(W, [0.0, 1.0, 2.5])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int8])
@pytest.mark.parametrize("device", [None, "cpu"])
def test_tensors_of_every_type(dtype, device):
    assert [
        level.edges for level in structure_sweep(2 * torch.eye(3, dtype=dtype), [0.0, 1.5, 2.0], device=device)
    ] == [
        3,
        3,
        0,
    ]
