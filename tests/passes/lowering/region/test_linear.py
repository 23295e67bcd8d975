"""What one linear of a region becomes; that it computes the same is in test_branches.py."""

import numpy as np
import pytest
from reference import model, node
from regions import chain, checked, dense_plan, done, grown, joined, looked_at
from shared_axes import blocked

import scission
from scission.passes.lowering.region.linear import role_of


def emitted(proto, layout="features_last", blocks_per_node=1):
    """Operators of the blocks of the first linear, in order."""
    seen = looked_at(proto)
    (region,) = grown(seen)
    changed = scission.apply(
        proto, joined(dense_plan(proto), seen, [(region, region.decompositions)], layout, blocks_per_node)
    )
    return [one.op_type for one in changed.graph.node if one.name.startswith("up/block")]


def test_roles_name_the_blocks():
    assert (role_of((3,)), role_of((0, 1, 2))) == ("block.3", "blocks.0-2")


@pytest.mark.parametrize(
    ("rank", "layout", "blocks_per_node", "operators"),
    [
        (2, "features_last", 1, ["MatMul", "MatMul"]),
        (2, "features_last", 2, ["MatMul"]),
        (2, "features_first", 1, ["Gather", "Gather", "MatMul", "MatMul"]),
        (2, "features_first", 2, ["Gather", "MatMul"]),
        (3, "features_last", 1, ["MatMul", "MatMul"]),
        (3, "features_last", 2, ["Shape", "Concat", "Reshape", "MatMul", "Reshape"]),
    ],
)
def test_one_product_for_each_block_or_stack(rank, layout, blocks_per_node, operators):
    assert emitted(chain([node("Relu", "h", "g", "act")], rank=rank), layout, blocks_per_node) == operators


def test_extents_that_are_known_are_not_measured():
    proto = chain([node("Relu", "h", "g", "act")], lead=["N", 3])
    assert emitted(proto, blocks_per_node=2) == ["Reshape", "MatMul", "Reshape"]


def test_equal_extents_are_measured_once():
    proto = chain([node("Relu", "h", "g", "act")])
    seen = looked_at(proto)
    (region,) = grown(seen)
    changed = scission.apply(
        proto, joined(dense_plan(proto), seen, [(region, region.decompositions)], blocks_per_node=2)
    )
    stacks = [one for one in changed.graph.node if "/blocks." in one.name]
    assert sum(one.op_type == "Shape" for one in stacks) == 1 and sum(one.op_type == "Concat" for one in stacks) == 2


def gemm(**attributes):
    rng = np.random.default_rng(0)
    two = [[0, 1], [2, 3]]
    U, V = blocked(rng, two, two), blocked(rng, two, two)
    return model(
        [node("Gemm", "x U b", "h", "up", **attributes), node("MatMul", "h V", "y", "down")],
        {"x": (["N", 4], np.float64)},
        {"y": (None, np.float64)},
        {"U": U.T.copy() if attributes.get("transB") else U, "V": V, "b": rng.standard_normal(4)},
    )


@pytest.mark.parametrize("attributes", [{}, {"transB": 1}, {"alpha": 0.5, "beta": 3.0}, {"beta": 0.0}])
def test_factors_and_biases_of_a_gemm(attributes):
    ways, reasons = done(checked(gemm(**attributes)))
    assert {("features_last", False), ("features_first", False)} <= ways
    scaled = "alpha" in attributes or "beta" in attributes
    assert (("features_last", True) in ways) != scaled
    assert all("factor of its own" in reason for reason in reasons)
