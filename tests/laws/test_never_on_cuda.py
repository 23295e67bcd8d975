"""What plans for CUDA never write: ScatterND, a Concat that cannot be recorded, one launch after another.

Every planted kind is split by force into more blocks than a recorded Concat takes, and the networks of the benches are
split where that is predicted to gain. Needs no GPU: what is written is looked at, and run on the CPU.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from reference import graphs_of

import scission
from scission.ir.provenance import ORIGIN
from scission.models.planted import ffn, products
from scission.models.planted.recurrent import Cell, build_cell

RECORDED = 32  # inputs of a Concat that CUDA takes while it records a graph
MANY = ((4, 4),) * 40  # blocks, more than that
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


@pytest.mark.parametrize("kind", products.KINDS)
def test_no_planted_kind_split_by_force(kind):
    model = products.build(np.random.default_rng(0), kind, MANY).model
    plan = scission.plan(model, provider="cuda", force=True, batch=[64])
    require_never(scission.apply(model, plan) if plan.changes else model)


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
