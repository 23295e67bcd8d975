"""Parts put into one graph compute what each of them does by itself."""

import itertools

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from random_parts import difference, random_feed, random_parts, run_model, without_node_names

from scission.ir.io.load import load
from scission.ir.io.serial import to_proto
from scission.ir.parts.share import share_of, whole
from scission.passes.partition.find import find
from scission.passes.rewrite.parts.joined import PartModel, joined, union
from scission.passes.rewrite.parts.narrowed import narrowed


def of(*places, axis=1, size=6):
    return share_of("v", {axis: np.isin(np.arange(size), places)})


def test_a_union_is_cut_where_all_are():
    both = share_of("v", {0: np.array([True, False]), 1: np.arange(6) < 2})
    assert union([of(0, 2), of(5)]) == (of(0, 2, 5),)
    assert union([of(0, 1, 2), of(3, 4, 5)]) == (whole("v"),) and union([of(0), whole("v")]) == (whole("v"),)
    assert union([both, of(4)]) == (of(0, 1, 4),)
    assert union([whole("w"), of(1)]) == (whole("w"), of(1))


def groups_of(count, rng):
    order = rng.permutation(count)
    cut = sorted(rng.choice(np.arange(1, count), min(count - 1, 1 + int(rng.integers(2))), replace=False).tolist())
    return [sorted(order[a:b].tolist()) for a, b in itertools.pairwise([0, *cut, count])]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("seed", range(30))
def test_random_networks_in_groups_compute_the_same(seed, named):
    model, _ = random_parts(seed)
    model = model if named else without_node_names(model)
    found = find(load(model).graph)
    if not isinstance(found, tuple):
        pytest.skip("nothing falls apart")
    rng = np.random.default_rng(seed)
    feed, made = random_feed(rng, model), {}
    for group in groups_of(len(found), rng):
        parts = [
            PartModel(narrowed(one.whole, one.needed, "p"), one.reads, one.writes)
            for one in (found[at] for at in group)
        ]
        reads = union([share for one in parts for share in one.reads])
        writes = union([share for one in parts for share in one.writes])
        proto = to_proto(load(model), joined(parts, "group"))
        onnx.checker.check_model(proto)
        names = [node.name for node in proto.graph.node]
        assert len({*names}) == len(names) and all(names)
        assert [one.name for one in proto.graph.input] == [share.value for share in reads]
        given = {share.value: np.ascontiguousarray(share.of(feed[share.value])) for share in reads}
        results = run_model(proto, given)
        for share in writes:
            value = results[share.value]
            shape = [share.size.get(axis, extent) for axis, extent in enumerate(value.shape)]
            made.setdefault(share.value, np.zeros(shape, np.float32))[share.where(value.ndim)] = value
    assert difference(run_model(model, feed), made) <= 1e-4


def test_nodes_of_bodies_get_names_of_their_own():
    """ONNX Runtime wants names of nodes to be unique in each graph; two parts, each with a body of unnamed nodes."""
    nodes, constants, made = [], [], []
    for at in range(2):
        body = helper.make_graph(
            [helper.make_node("Relu", [f"a{at}"], ["r"]), helper.make_node("Relu", ["r"], ["s"])],
            "body",
            [],
            [helper.make_tensor_value_info("s", 1, ["n", 2])],
        )
        constants.append(numpy_helper.from_array(np.arange(2) + 2 * at, f"i{at}"))
        nodes.append(helper.make_node("Gather", ["x", f"i{at}"], [f"a{at}"], axis=1))
        nodes.append(helper.make_node("If", ["c"], [f"b{at}"], then_branch=body, else_branch=body))
        made.append(f"b{at}")
    nodes.append(helper.make_node("Concat", made, ["y"], axis=1))
    values = [("x", 1, ["n", 4]), ("c", 9, []), ("y", 1, ["n", 4])]
    *inputs, output = (helper.make_tensor_value_info(*value) for value in values)
    graph = helper.make_graph(nodes, "g", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    found = find(load(model).graph)
    parts = [PartModel(narrowed(one.whole, one.needed, "p"), one.reads, one.writes) for one in found]
    assert len(parts) == 2
    feed = {"x": np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32), "c": np.array(True)}
    proto = to_proto(load(model), joined(parts, "group"))
    bodies = [attribute.g for node in proto.graph.node for attribute in node.attribute if attribute.type == 5]
    names = [node.name for graph in (proto.graph, *bodies) for node in graph.node]
    assert len(bodies) == 4 and len({*names}) == len(names)
    assert np.array_equal(run_model(model, feed)["y"], run_model(proto, feed)["y"])
