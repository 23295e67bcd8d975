"""The exact shape of the `grouped` lowering; that it computes the right thing is in test_linear.py."""

import numpy as np
import oracles
import pytest

import scission
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.models.matrix import weight
from scission.models.planted.products import build
from scission.passes.lowering.linear.grouped import Grouped
from scission.passes.lowering.linear.stacked import Stacked
from scission.passes.lowering.prices import prices_of

SIZES = ((3, 4),) * 3


def split_of(kind, **options):
    planted = build(np.random.default_rng(0), kind, **options)
    plan = scission.plan(planted.model, provider="cpu", force=True)
    return planted.model, scission.apply(planted.model, oracles.unmerged(plan, planted, "grouped"))


def attributes_of(model):
    (node,) = (node for node in model.graph.node if node.op_type == "Conv")
    return {a.name: a.i if a.type == a.INT else list(a.ints) for a in node.attribute}


@pytest.mark.parametrize(
    ("contiguous", "operators"),
    [
        (True, ["Reshape", "Conv", "Reshape"]),
        (False, ["Slice", "Shape", *["Expand", "GatherElements", "Reshape", "Conv", "Reshape"], *["Expand"]]),
    ],
)
def test_rows_are_images_of_one_pixel(contiguous, operators):
    _, split = split_of("matmul-right-2", sizes=SIZES, contiguous=contiguous)
    assert [node.op_type for node in split.graph.node][: len(operators)] == operators
    assert attributes_of(split) == {"group": 3, "kernel_shape": [1]}


def test_a_convolution_becomes_one_in_groups():
    original, split = split_of("conv-2d-strides", sizes=SIZES, contiguous=True)
    assert [node.op_type for node in split.graph.node] == ["Conv"]
    assert attributes_of(split) == attributes_of(original) | {"group": 3}
    _, split = split_of("conv-2d", sizes=SIZES)
    assert [node.op_type for node in split.graph.node] == ["Gather", "Conv", "Gather"]


@pytest.mark.parametrize("kind", ["conv-2d", "conv-3d"])
def test_unequal_channels_are_padded(kind):
    original, split = split_of(kind, dormant=(1, 2))
    weights = next(t for t in split.graph.initializer if t.name.endswith("blocks/weight"))
    assert weights.dims[:2] == [3 * 5, 4]
    data = {
        value.name: np.random.default_rng(1).standard_normal(
            [d.dim_value or 3 for d in value.type.tensor_type.shape.dim]
        )
        for value in original.graph.input
    }
    data = {name: array.astype(np.float32) for name, array in data.items()}
    oracles.assert_close(oracles.run(original, data), oracles.run(split, data))


def test_many_groups_of_one_row_are_no_bargain_on_a_gpu():
    """Measured on a card: 100 groups took as long as their dense product, where one stacked product takes a tenth."""
    W, truth = weight(np.random.default_rng(0), ((9, 10),) * 100)
    nodes = [("MatMul", ["x", "W"], ["y"])]
    model = oracles.graph(nodes, {"x": ["m", W.shape[0]]}, {"y": ["m", W.shape[1]]}, {"W": W})
    (linear,) = view(load(model).graph).found.linears
    prices = prices_of("cuda")
    one, many = (Grouped().seconds(linear, truth, rows, prices) for rows in (1, 16))
    assert one > 75e-6 > many and one > 3 * Stacked().seconds(linear, truth, 1, prices)
