from itertools import pairwise

import numpy as np
import oracles
import pytest
from onnx import numpy_helper
from prunable import EACH, HEADS, WIDTH, residual

from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.passes.lowering.prices import prices_of
from scission.passes.pruning.units import find_units
from scission.passes.rewrite.pruning.put_weights import put_weights
from scission.passes.rewrite.pruning.remove_unread import at_shapes, remove_unread

SHAPES = {"x": (2, 5, WIDTH)}


def units_of(proto):
    return find_units(view(at_shapes(load(proto).graph, SHAPES)))


def test_heads_and_hidden_units_of_a_block_in_order():
    heads, hidden = units_of(residual(24))
    assert (heads.kind, heads.address, heads.count) == ("heads", "o", HEADS)
    assert heads.labels.tolist() == np.repeat(np.arange(HEADS), EACH).tolist()
    assert (hidden.kind, hidden.address, hidden.count) == ("units", "down", 24)
    written = [[linear.address for linear in one.writers] for one in (heads, hidden)]
    assert written == [[], ["up"]]  # queries, keys and values lie along axes of their own
    inner = HEADS * EACH
    assert sorted((one.shape, one.less) for one in heads.products) == sorted(
        [((WIDTH, inner), (0, EACH))] * 3 + [((inner, WIDTH), (EACH, 0))]
    )
    assert sorted((one.shape, one.less) for one in hidden.products) == [((12, 24), (0, 1)), ((24, 12), (1, 0))]


@pytest.mark.parametrize("place", [0, 1])
def test_a_unit_that_nothing_reads_goes_with_all_that_makes_it(place):
    model = load(residual(24)).graph
    site = units_of(residual(24))[place]
    (reader,) = site.readers
    weight = reader.canonical(view(model).found.constants).copy()
    weight[site.labels == 1] = 0
    changed = put_weights(model, {reader.address: (weight, np.zeros(weight.shape[1]))})
    after = remove_unread(changed, SHAPES)
    left = {one.name.split("/")[0]: one.shape.numpy() for one in after.graph.initializers.values()}
    if site.kind == "heads":
        assert [left[name][1] for name in "qkv"] == [(HEADS - 1) * EACH] * 3
    else:
        assert left["up"] == (WIDTH, 23) and left["b"] == (23,)


def test_what_an_output_or_another_operator_needs_is_no_unit():
    W, V = np.ones((4, 6), np.float32), np.ones((6, 4), np.float32)
    nodes = [("MatMul", ["x", "W"], ["h"], {}), ("MatMul", ["h", "V"], ["y"], {})]
    shapes = {"x": ["n", 4]}, {"y": ["n", 4]}
    assert len(find_units(view(load(oracles.graph(nodes, *shapes, {"W": W, "V": V})).graph))) == 1
    told = oracles.graph(nodes, shapes[0], shapes[1] | {"h": ["n", 6]}, {"W": W, "V": V})
    assert not find_units(view(load(told).graph))
    summed = [*nodes, ("ReduceMax", ["h"], ["z"], {"axes": [-1]})]
    told = oracles.graph(summed, shapes[0], shapes[1] | {"z": ["n", 1]}, {"W": W, "V": V}, opset=13)
    assert not find_units(view(load(told).graph))


def test_more_left_out_saves_more():
    for site in units_of(residual(24)):
        saved = [site.saved(count, 64, prices_of("cpu")) for count in range(site.count)]
        assert saved[0] == 0 and all(a <= b for a, b in pairwise(saved)) and saved[-1] > 0


def test_the_weights_are_read_as_they_are_stored():
    proto = residual(24)
    down = next(numpy_helper.to_array(one) for one in proto.graph.initializer if one.name == "down")
    seen = view(load(proto).graph)
    site = next(one for one in find_units(seen) if one.kind == "units")
    assert np.array_equal(site.readers[0].canonical(seen.found.constants), down)
