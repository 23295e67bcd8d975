from itertools import pairwise

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from proposals import two_layers
from prunable import feeds, residual

from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.passes.pruning.units import find_units
from scission.passes.rewrite.pruning.remove_unread import at_shapes
from scission.runtime.decompose.blocks.places import find_places
from scission.runtime.decompose.removal.method import shapes_of
from scission.runtime.decompose.task.goal import parse_goal
from scission.runtime.decompose.task.method import DecomposeTask
from scission.runtime.decompose.task.samples import Samples
from scission.runtime.ort.trials import Trials


def chain(*widths, dtype=np.float32):
    """x - MatMul - Relu - … - y of these widths."""
    rng = np.random.default_rng(0)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    weights = [rng.standard_normal(shape).astype(dtype) for shape in pairwise(widths)]
    nodes, entering, last = [], "x", len(weights) - 1
    for at in range(last + 1):
        nodes.append(helper.make_node("MatMul", [entering, f"w{at}"], ["y" if at == last else f"h{at}"], f"p{at}"))
        if at < last:
            nodes.append(helper.make_node("Relu", [f"h{at}"], [f"r{at}"], f"relu{at}"))
        entering = f"r{at}"
    infos = [helper.make_tensor_value_info(n, kind, ["n", w]) for n, w in (("x", widths[0]), ("y", widths[-1]))]
    inits = [numpy_helper.from_array(one, f"w{at}") for at, one in enumerate(weights)]
    graph = helper.make_graph(nodes, "chain", infos[:1], infos[1:], inits)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def places_of(proto, given):
    samples = Samples(feeds=given)
    task = DecomposeTask(
        model=load(proto),
        calibration=samples,
        selection=samples,
        goal=parse_goal("cosine<=0.01"),
        trials=Trials(provider="cpu", threads=1),
    )
    seen = view(at_shapes(task.model.graph, shapes_of(task)))
    return find_places(task, seen, find_units(seen))


def rows(width, dtype=np.float32):
    return [{"x": np.ones((5, width), dtype)}]


def test_weights_in_a_chain_share_axes_and_ends_are_axes_of_their_own():
    found = places_of(chain(16, 64, 48, 32, 10), rows(16))
    named = {one.linear.address: (one.source, one.target) for one in found.places}
    assert [found.sizes[axis] for pair in named.values() for axis in pair] == [16, 64, 64, 48, 48, 32, 32, 10]
    assert [named["p0"][1], named["p1"][1], named["p2"][1]] == [named["p1"][0], named["p2"][0], named["p3"][0]]
    assert [found.hidden[axis] for axis in (named["p0"][0], named["p1"][0], named["p3"][1])] == [False, True, False]
    inner = [one.linear.address for one in found.in_blocks(4, ends=False)]
    assert inner == ["p1", "p2"]
    assert [one.linear.address for one in found.in_blocks(4, ends=True)] == ["p0", "p1", "p2"]
    assert found.in_blocks(8, ends=True) == found.in_blocks(8, ends=False)  # 16 and 10 are too few for 8 groups
    total = 16 * 64 + 64 * 48 + 48 * 32 + 32 * 10
    saved = (64 * 48 + 48 * 32) * 0.75
    assert found.mac_share(4, ends=False) == pytest.approx(1 - saved / total)


def test_feed_forward_networks_are_in_blocks_with_their_ends_and_other_weights_count_as_they_are():
    found = places_of(residual(24), feeds(2))
    assert [one.linear.address for one in found.places] == ["up", "down"]
    assert not found.in_blocks(2, ends=False) and len(found.in_blocks(2, ends=True)) == 2
    assert found.others == 4 * 12 * 12
    assert found.mac_share(2, ends=True) == pytest.approx((4 * 144 + 288) / (4 * 144 + 576))


def test_what_learns_in_steps_too_small_for_its_type_stays():
    found = places_of(chain(16, 32, 16, dtype=np.float16), rows(16, np.float16))
    assert not found.places and found.others == 2 * 16 * 32
    assert "too coarse to learn in small steps" in str(found.refused[0])


def test_without_hidden_units_there_is_nothing():
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "only")]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 16]) for name in "xy"]
    inits = [numpy_helper.from_array(np.ones((16, 16), np.float32), "w")]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], inits)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = places_of(proto, rows(16))
    assert not found.places and found.others == 256 and not found.refused
    two = places_of(two_layers(np.ones((16, 32), np.float32), np.ones((32, 16), np.float32)), rows(16))
    assert len(two.places) == 2
