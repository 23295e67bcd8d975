"""The exact shape of the `scatter` lowering; that it computes the right thing is in test_linear.py."""

import numpy as np
import onnx
import oracles
import pytest

import scission
from scission.models.planted.products import build

BLOCKS = ["Gather", "Gemm"] * 3


def shape_of(kind, **options):
    """Operators of the rewritten model in order, and the model."""
    planted = build(np.random.default_rng(0), kind, **options)
    plan = scission.plan(planted.model, provider="cpu", force=True)
    split = scission.apply(planted.model, oracles.unmerged(plan, planted, "scatter"))
    return [node.op_type for node in split.graph.node], split


def test_rows_are_gathered_multiplied_and_put_back():
    assert shape_of("gemm")[0] == ["Transpose", *BLOCKS, "Concat", "Gather", "Transpose"]


def test_features_that_come_first_already_are_not_turned():
    assert shape_of("matmul-left-2")[0] == [*BLOCKS, "Concat", "Gather"]
    assert shape_of("gemm-transA")[0] == [*BLOCKS, "Concat", "Gather", "Transpose"]


@pytest.mark.parametrize("kind", ["gemm", "gemm-c-N"])
def test_dormant_outputs_are_the_zero_channel_which_holds_the_bias(kind):
    operators, split = shape_of(kind, dormant=(0, 3))
    assert operators == [
        "Transpose",
        *BLOCKS,
        "Concat",
        *["Shape", "Gather", "Concat", "Expand", "ScatterND", "Transpose"],
    ]
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in split.graph.initializer}
    (channel,) = (array for name, array in constants.items() if name.endswith("zero/channel"))
    assert channel.any() == (kind == "gemm-c-N")
    order = next(array for name, array in constants.items() if name.endswith("scatter/outputs"))
    assert len(order) == len(channel) - 3


def test_a_block_that_reads_everything_gathers_nothing():
    operators, _ = shape_of("gemm", sizes=((4, 3),), dormant=(0, 1))
    assert operators.count("Gather") == 1  # of the number of rows
    assert operators.count("Gemm") == 1


def test_before_scatternd_dormant_outputs_are_computed_as_zero_columns():
    operators, split = shape_of("opset-7", dormant=(0, 3))
    assert "ScatterND" not in operators
    weights = [onnx.numpy_helper.to_array(t) for t in split.graph.initializer if t.name.endswith("weight")]
    assert sum((~weight.any(axis=1)).sum() for weight in weights) == 3
