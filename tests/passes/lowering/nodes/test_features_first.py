"""How an activation gets to features-first layout and back; that values survive it is in test_linear.py."""

import numpy as np
import oracles
import pytest

import scission
from scission.models.planted.products import build

AROUND = {
    "matmul-right-1": (["Reshape", "Transpose"], ["Transpose", "Reshape"]),
    "matmul-right-2": (["Transpose"], ["Transpose"]),
    "matmul-right-3": (["Shape", "Slice", "Concat", "Reshape", "Transpose"], ["Transpose", "Reshape"]),
    "matmul-left-2": ([], []),
    "gemm-transA": ([], ["Transpose"]),
    "gemm-left-transB": (["Transpose"], []),
}


@pytest.mark.parametrize("kind", AROUND)
def test_no_more_is_done_than_the_layout_needs(kind):
    model = build(np.random.default_rng(0), kind, sizes=((4, 3),), dormant=(5, 0)).model  # inputs that are no run
    split = scission.apply(model, oracles.edited(scission.plan(model, provider="cpu", force=True), "scatter"))
    operators = [node.op_type for node in split.graph.node]
    before, after = AROUND[kind]
    at = operators.index("Gemm")
    assert operators[: at - 1] == before
    assert operators[at + 1 :] in (after, ["Gather", *after])
