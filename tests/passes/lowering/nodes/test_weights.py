import numpy as np
import onnx
import oracles
import pytest

import scission
from scission.models.planted.products import build


def dequantised(node, constants):
    """What a DequantizeLinear computes, spelt out."""
    q, scale, zero = (constants[name] for name in node.input)
    axis = next((a.i for a in node.attribute if a.name == "axis"), None)
    if axis is not None and scale.ndim:
        along = [1, 1]
        along[axis] = -1
        scale, zero = scale.reshape(along), zero.reshape(along)
    return (q.astype(np.float32) - zero.astype(np.float32)) * scale


@pytest.mark.parametrize("lowering", ["scatter", "split"])
@pytest.mark.parametrize("kind", ["tensor", "rows", "columns"])
def test_a_quantised_weight_stays_quantised_and_keeps_every_value(kind, lowering):
    planted = build(np.random.default_rng(0), f"through-dequantize-{kind}", contiguous=lowering == "split")
    known = {t.name: onnx.numpy_helper.to_array(t) for t in planted.model.graph.initializer}
    whole = dequantised(next(n for n in planted.model.graph.node if n.op_type == "DequantizeLinear"), known)
    plan = scission.plan(planted.model, provider="cpu", force=True)
    split = scission.apply(planted.model, oracles.unmerged(plan, planted, lowering))
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in split.graph.initializer}
    nodes = [n for n in split.graph.node if n.op_type == "DequantizeLinear"]
    (truth,) = planted.truth.values()
    blocks = sorted(truth.blocks, key=lambda block: int(block.inputs[0]))
    assert len(nodes) == len(blocks)
    parts = sorted((dequantised(n, constants) for n in nodes), key=lambda part: part.tobytes())
    expected = [whole[np.ix_(b.inputs, b.outputs)] for b in blocks]
    expected = sorted(
        (np.ascontiguousarray(part.T if lowering == "scatter" else part) for part in expected),
        key=lambda part: part.tobytes(),
    )
    for part, wanted in zip(parts, expected, strict=True):
        np.testing.assert_array_equal(part, wanted)
    assert all(constants[n.input[0]].dtype == np.int8 for n in nodes)
