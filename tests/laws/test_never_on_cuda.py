"""What plans for CUDA never write: ScatterND, a Concat that cannot be recorded, one launch after another.

Every planted kind is split by force into more blocks than a recorded Concat takes, and into fewer, and the networks of
the benches are split where that is predicted to gain. Needs no GPU: what is written is looked at, and run on the CPU.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import oracles
import pytest
from reference import graphs_of

import scission
from scission.ir.provenance import ORIGIN
from scission.ir.reason import Cause
from scission.models.planted import ffn, products
from scission.models.planted.recurrent import Cell, build_cell

RECORDED = 32  # inputs of a Concat that CUDA takes while it records a graph
PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "FusedMatMul"})
LAUNCHES = 2  # products in the place of one where blocks are of two shapes
TRIALS = scission.Trials(provider="cpu", threads=1)
NETWORKS = {
    f"{activation} {width} in {blocks}{' shuffled' * shuffle}": (activation, width, blocks, shuffle)
    for activation in ("relu", "swiglu")
    for width, blocks in ((256, 4), (256, 64))
    for shuffle in (True, False)
}


def written(model: onnx.ModelProto) -> list[tuple[str, onnx.NodeProto]]:
    """The nodes that a plan put in, with what they stand for."""
    every = (node for graph in graphs_of(model) for node in graph.node)
    return [(note.value, node) for node in every for note in node.metadata_props if note.key == ORIGIN]


def require_never(model: onnx.ModelProto) -> None:
    """No ScatterND, and nothing that keeps a model off CUDA graphs."""
    for _, node in written(model):
        assert node.op_type != "ScatterND", node.name
        assert node.op_type != "Concat" or len(node.input) <= RECORDED, (node.name, len(node.input))


def require_few_launches(model: onnx.ModelProto) -> None:
    """The blocks of an operator are stacked, not launched one by one."""
    launched = Counter(origin for origin, node in written(model) if node.op_type in PRODUCTS)
    assert max(launched.values(), default=0) <= LAUNCHES, launched


def inputs(model: onnx.ModelProto, rows: int) -> dict[str, np.ndarray]:
    """Random ones, open dimensions of so many rows."""
    rng, found = np.random.default_rng(1), {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        shape = [dim.dim_value if dim.HasField("dim_value") else rows for dim in kind.shape.dim]
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        drawn = rng.integers(0, 4, shape) if dtype.kind in "iu" else rng.standard_normal(shape)
        found[value.name] = np.asarray(drawn).astype(dtype)
    return found


def require_same(model: onnx.ModelProto, changed: onnx.ModelProto) -> None:
    """ONNX Runtime computes the same of some rows and of none, wherever it runs the original.

    As far as that is the same with optimisations and without: quantised weights it then multiplies in 8 bits.
    """
    for rows in (5, 0):
        feeds = inputs(model, rows)
        before = [oracles.runs(model, feeds, optimised=optimised) for optimised in (False, True)]
        for optimised in (False, True) if None not in before else ():
            for old, other, new in zip(*before, oracles.run(changed, feeds, optimised), strict=True):
                assert old.shape == new.shape and old.dtype == new.dtype
                rounded = (5e-3 if old.dtype.itemsize == 2 else 2e-5) * np.abs(old).max(initial=1)
                own = 2 * np.abs(old - other).max(initial=0)
                np.testing.assert_allclose(new, old, rtol=0, atol=rounded + own)


@pytest.mark.parametrize("blocks", [40, 6])
@pytest.mark.parametrize("kind", products.KINDS)
def test_no_planted_kind_split_by_force(kind, blocks):
    model = products.build(np.random.default_rng(0), kind, ((4, 4),) * blocks).model
    plan = scission.plan(model, provider="cuda", force=True, batch=[64])
    if not plan.changes:
        assert {step.reason.cause for step in plan.steps} == {Cause.NO_GRAPH} and blocks > RECORDED
        return
    changed = scission.apply(model, plan)
    require_never(changed)
    require_same(model, changed)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_network_of_the_benches(name):
    activation, width, blocks, shuffle = NETWORKS[name]
    rng = np.random.default_rng(1)
    model = ffn.build(rng, width, 4 * width, blocks, activation, shuffle=shuffle).model
    for batch in (1, 4096):
        plan = scission.plan(model, provider="cuda", batch=[batch])
        changed = scission.apply(model, plan) if plan.changes else model
        require_never(changed)
        require_few_launches(changed)
    plan = scission.plan(model, provider="cuda", force=True, batch=[64])
    changed = scission.apply(model, plan)
    require_never(changed)
    require_few_launches(changed)
    assert plan.changes and scission.check(model, changed, trials=TRIALS, batch=[8]).equal


def test_some_networks_are_split_at_all():
    model = ffn.build(np.random.default_rng(1), 1024, 4096, 16, "gelu", dtype=np.dtype(np.float16)).model
    plan = scission.plan(model, provider="cuda", batch=[4096])
    changed = scission.apply(model, plan)
    assert plan.regions and len(written(changed)) > 4
    require_never(changed)
    require_few_launches(changed)


@pytest.mark.parametrize("op", ["RNN", "GRU", "LSTM"])
def test_no_recurrent_operator(op):
    model = build_cell(np.random.default_rng(1), Cell(op=op, sizes=((4, 4),) * 40)).model
    plan = scission.plan(model, provider="cuda", force=True, batch=[16])
    changed = scission.apply(model, plan)
    require_never(changed)
    assert plan.changes and scission.check(model, changed, trials=TRIALS).equal
