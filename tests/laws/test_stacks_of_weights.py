"""Weights of several matrices: convolutions over windows, transposed ones, and products with a stack."""

import dataclasses

import numpy as np
import onnx
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag

import scission
from scission import PlanError
from scission.models.planted.products import build

KINDS = ("conv-window", "conv-window-1d", "conv-transpose", "matmul-stack", "matmul-stack-shared")
SINGLE = ("permute", "batched", "scatternd")


def plan(model, **options):
    return scission.plan(model, **{"provider": "cpu", "threads": 1, "force": True, "regions": False, **options})


def slices(rng, sizes, count, gap):
    """Matrices (count, K, N) of shuffled blocks, each entry of which some of them lack."""
    pattern = block_diag(*(np.ones(size) for size in sizes))
    K, N = pattern.shape
    found = rng.standard_normal((count, K, N)) * (rng.random((count, K, N)) >= gap) * pattern
    found[0] = np.where(pattern, rng.standard_normal((K, N)), 0)  # so that no block falls apart
    return found[:, rng.permutation(K)][:, :, rng.permutation(N)].astype(np.float32)


def model_of(kind, W, window, extra):
    """One operator with these matrices."""
    K, N = W.shape[1:]
    weights = {"b": np.linspace(-1, 1, N, dtype=np.float32)}
    if kind == "einsum":
        weights = {"W": W.swapaxes(1, 2) if "hnk" in extra else W}
        dims = [{"k": K, "h": len(W)}.get(letter, letter) for letter in extra.partition(",")[0]]
        return oracles.graph([("Einsum", ["x", "W"], ["y"], {"equation": extra})], {"x": dims}, {"y": None}, weights)
    if kind == "stack":
        weights["W"] = W
        nodes = [("MatMul", ["x", "W"], ["h"]), ("Add", ["h", "b"], ["y"])]
        return oracles.graph(nodes, {"x": [*extra, "m", K]}, {"y": None}, weights)
    turned = kind == "ConvTranspose"
    kernels = np.moveaxis(W, 0, -1) if turned else np.moveaxis(W, 0, -1).swapaxes(0, 1)
    weights["W"] = kernels.reshape(*kernels.shape[:2], *window)
    attributes = {"kernel_shape": list(window), "pads": [1] * (2 * len(window)), **extra}
    dims = ["n", K, *(f"s{axis}" for axis in range(len(window)))]
    return oracles.graph([(kind, ["x", "W", "b"], ["y"], attributes)], {"x": dims}, {"y": None}, weights)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["Conv", "ConvTranspose", "stack", "einsum"]),
    equation=st.sampled_from(["bshk,hkn->bshn", "hbk,hnk->hbn", "bkhs,hkn->nshb", "hk,hnk->nh", "bhk,hkn->bhn"]),
    sizes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=4),
    window=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    stride=st.integers(1, 2),
    lowering=st.sampled_from(["scatter", "split", "grouped"]),
    lead=st.sampled_from([(), (1,), (2,), (3, 2)]),
)
def test_blocks_of_all_matrices_compute_what_they_compute(seed, kind, sizes, window, stride, lowering, lead, equation):
    rng = np.random.default_rng(seed)
    count = 2 if kind in ("stack", "einsum") else int(np.prod(window))
    W = slices(rng, sizes, count, gap=0.3)
    ways = {"stack": lead, "einsum": equation}
    extra = ways[kind] if kind in ways else {"strides": [stride] * len(window), "dilations": [1] * len(window)}
    model = model_of(kind, W, window, extra)
    made = plan(model)
    (step,) = made.steps
    assert step.shape == W.shape[1:] and step.slices == count and step.parameters == W.size
    assert step.nonzeros == (W != 0).any(axis=0).sum() and step.components == len(sizes)
    asked = dataclasses.replace(made, steps=(dataclasses.replace(step, lowering=lowering),))
    try:
        changed = scission.apply(model, asked)
    except PlanError as error:
        assert any(
            why in str(error) for why in ("follow one another", "no kernel", "no fewer multiply-adds", "last axis")
        )
        return
    assert len([node for node in changed.graph.node if node.op_type in (kind, "MatMul", "Einsum")]) >= 1
    shape = (*lead, 5, W.shape[1]) if kind == "stack" else (2, W.shape[1], *(4 for _ in window))
    if kind == "einsum":
        shape = [{"k": W.shape[1], "h": 2}.get(letter, 3) for letter in equation.partition(",")[0]]
    x = rng.standard_normal(shape)
    data = {"x": x.astype(np.float32)}
    oracles.assert_close(oracles.run(model, data), oracles.run(changed, data))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lowering", SINGLE)
def test_lowerings_that_write_one_matrix_say_so(kind, lowering):
    planted = build(np.random.default_rng(0), kind)
    (step,) = plan(planted.model, lowering=lowering).steps
    assert step.lowering == "dense" and f"'{lowering}' writes one matrix" in step.reason.text
    made = plan(planted.model)
    changed = dataclasses.replace(made, steps=tuple(dataclasses.replace(one, lowering=lowering) for one in made.steps))
    with pytest.raises(PlanError, match="one matrix"):
        scission.apply(planted.model, changed)


def test_the_plan_knows_every_matrix_and_not_their_pattern_alone():
    W = slices(np.random.default_rng(0), [(2, 2)] * 3, 9, gap=0.0)
    made = plan(model_of("Conv", W, (3, 3), {}))
    other = model_of("Conv", 2 * W, (3, 3), {})
    with pytest.raises(PlanError, match="not the one"):
        scission.apply(other, scission.Plan.loads(made.dumps()))


def test_a_dense_window_of_blocks_becomes_one_convolution_in_groups():
    W = np.stack([block_diag(*([one] * 4)) for one in np.random.default_rng(0).standard_normal((9, 32, 32))])
    model = model_of("Conv", W.astype(np.float32), (3, 3), {})
    made = plan(model, force=False, sizes={"s0": 28, "s1": 28}, batch=[1])
    assert made.steps[0].gain > 1 and made.rewrites
    changed = scission.apply(model, made)
    size = sum(tensor.ByteSize() for tensor in onnx.load_from_string(changed.SerializeToString()).graph.initializer)
    assert size < 1.1 * W.size  # four bytes each before, and a quarter of them is left
    x = {"x": np.random.default_rng(1).standard_normal((1, 128, 28, 28)).astype(np.float32)}
    oracles.assert_close(oracles.run(model, x), oracles.run(changed, x))
