"""A node as analyses look at it."""

import numpy as np
import pytest
from reference import model, node

from scission.ir.graph.constants import Constants
from scission.ir.graph.node import SMALL, NodeView, from_first
from scission.ir.io.load import load


def viewed(single, inputs, constants):
    graph = load(model([single], inputs, ["y"], constants, opset=13)).graph
    return NodeView(next(iter(graph.graph)), Constants(graph))


def test_integers_come_from_an_operand_or_before_it_was_one_from_an_attribute():
    x = {"x": [2, 3]}
    view = viewed(node("Squeeze", "x a", "y"), x, {"a": np.array([-1, 0])})
    assert view.integers("axes", 1) == [-1, 0] and view.is_told("axes", 1)
    view = viewed(node("ReduceMax", "x", "y", axes=[1]), x, {})
    assert view.integers("axes", 1) == [1] and view.is_told("axes", 1)
    view = viewed(node("Squeeze", "x", "y"), x, {})
    assert view.integers("axes", 1) is None and not view.is_told("axes", 1)
    view = viewed(node("Squeeze", "x a", "y"), {**x, "a": ([1], np.int64)}, {})
    assert view.integers("axes", 1) is None and view.is_told("axes", 1)


def test_large_constants_are_not_read():
    table = np.zeros(SMALL + 1, np.int64)
    view = viewed(node("Gather", "x i", "y", axis=-1), {"x": [2, 3]}, {"i": table})
    assert view.small(1) is None and view.small(0) is None and view.small(7) is None
    assert view.axis(2) == 1 and view.attribute("nothing", "left out") == "left out"
    assert view.operand(1).name == "i" and view.operand(2) is None


@pytest.mark.parametrize("axis", [-3, 2])
def test_an_axis_has_to_be_there(axis):
    with pytest.raises(IndexError):
        from_first(axis, 2)
