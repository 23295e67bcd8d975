import numpy as np
import onnx_ir as ir
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import model, node
from shared_axes import blocked, chosen, decompositions, encoder, ffn, groups, looked_at

import scission
from scission.ir.axes.shared_axis import SharedAxis, find_shared_axes
from scission.ir.graph.view import view
from scission.ir.plan.axis_order import Reordering
from scission.ir.plan.plan import Block, Decomposition
from scission.models.networks.autoregressive import build, masks
from scission.passes.connectivity.edges import relate
from scission.passes.decompose.blocks import is_contiguous, is_run
from scission.passes.decompose.cover.cover import covers
from scission.passes.planning.axis_orders import choose_orders
from scission.passes.rewrite.reorder_axes import reorder_axes


def shared_axis(size, readers=(), writers=(), pinned="", value="h"):
    return SharedAxis(
        value=value, axis=1, size=size, members=(), constants=(), readers=readers, writers=writers, pinned=pinned
    )


def cut(inputs, outputs, shape=None):
    shape = shape or (sum(map(len, inputs)), sum(map(len, outputs)))
    return Decomposition(shape, tuple(Block(np.sort(i), np.sort(o)) for i, o in zip(inputs, outputs, strict=True)))


def runs(parts, order):
    """Whether each part is a run of an order, slow and obvious."""
    at = np.argsort(order)
    return [np.ptp(at[part]) + 1 == len(part) for part in parts]


def test_blocks_follow_one_another_and_features_in_none_come_last():
    down = cut([[5, 0], [1, 3]], [[0], [1]], (7, 2))
    (found,) = choose_orders([shared_axis(7, ["down"])], {"down": down})
    assert found.order.tolist() == [0, 5, 1, 3, 2, 4, 6]


def test_blocks_come_in_the_order_of_a_side_that_cannot_move():
    down = cut([[0, 4], [1, 3], [2, 5]], [[2], [0], [1]])
    (found,) = choose_orders([shared_axis(6, ["down"]), shared_axis(3, [], ["down"], "an output", "y")], {"down": down})
    assert found.order.tolist() == [1, 3, 2, 5, 0, 4]


def test_an_order_is_handed_on_from_stream_to_stream():
    a, b, c = [[0, 3], [1, 2]], [[1, 2], [0, 3]], [[0, 2], [1, 3]]
    parts = {"first": cut(a, b), "second": cut(b, c)}
    free_axes = [
        shared_axis(4, ["first"], value="a"),
        shared_axis(4, ["second"], ["first"], value="b"),
        shared_axis(4, [], ["second"], value="c"),
    ]
    found = {one.value: one.order for one in choose_orders(free_axes, parts)}
    assert len(found) == 3
    ways = set()
    for name, where in (("a", a), ("b", b), ("c", c)):
        assert all(runs(where, found[name]))
        ways.add(tuple(np.argsort([np.argsort(found[name])[part].min() for part in where])))
    assert len(ways) == 1


@pytest.mark.parametrize("coarse_first", [False, True])
def test_partitions_that_nest_are_all_contiguous(coarse_first):
    fine = [[0, 7], [2, 5], [1, 4], [3, 6]]
    coarse = [fine[0] + fine[2], fine[1] + fine[3]]
    mixed = [fine[0] + fine[2], fine[1], fine[3]]
    sides = {"f": cut(fine, [[0], [1], [2], [3]]), "c": cut(coarse, [[0], [1]]), "m": cut(mixed, [[0], [1], [2]])}
    readers = sorted(sides, reverse=coarse_first)
    (found,) = choose_orders([shared_axis(8, readers)], sides)
    assert all(runs([*fine, *coarse, *mixed], found.order))


def test_of_partitions_that_cross_the_larger_linear_wins():
    a, b = [[0, 2], [1, 3]], [[0, 1], [2, 3]]
    small, large = cut(a, [[0], [1]]), cut(b, [[0], [1, 2, 3]])
    assert choose_orders([shared_axis(4, ["a", "b"])], {"a": small, "b": large}) == ()
    (found,) = choose_orders([shared_axis(4, ["a", "b"])], {"a": cut(a, [[0, 1], [2, 3]]), "b": cut(b, [[0], [1]])})
    assert all(runs(a, found.order))


NOTHING = {
    "pinned": ([shared_axis(4, ["a"], pinned="an input")], {"a": cut([[0, 2], [1, 3]], [[0], [1]])}),
    "contiguous": ([shared_axis(4, ["a"])], {"a": cut([[0, 1], [2, 3]], [[0], [1]])}),
    "one block": ([shared_axis(4, ["a"])], {"a": cut([[0, 1, 2, 3]], [[0, 1]])}),
    "no block": ([shared_axis(4, ["a"])], {"a": Decomposition((4, 2), ())}),
    "row groups": (
        [shared_axis(4, ["a"])],
        {"a": Decomposition((4, 2), (Block([0, 2], [0]), Block([0, 1, 2, 3], [1])), ((0, 0), (1, 1)))},
    ),
    "nothing known": ([shared_axis(4, ["a"])], {}),
    "no shared axis": ([], {"a": cut([[0, 2], [1, 3]], [[0], [1]])}),
}


@pytest.mark.parametrize("name", NOTHING)
def test_where_nothing_is_gained_nothing_is_said(name):
    assert choose_orders(*NOTHING[name]) == ()


@st.composite
def nested(draw):
    """Partitions of one set of features, each made of unions of blocks of the one before, on sides of linears."""
    size = draw(st.integers(2, 20))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = rng.integers(0, draw(st.integers(1, 8)), size)
    sides = {}
    for index in range(draw(st.integers(1, 4))):
        values = np.unique(labels)
        parts = [np.flatnonzero(labels == value) for value in values]
        other = groups(rng, len(parts) + 3, len(parts))
        sides[f"l{index}"] = (parts, other)
        labels = rng.integers(0, max(1, values.size), values.max() + 1)[labels]
    return size, sides


@given(nested())
def test_nested_partitions_are_contiguous_in_any_case(drawn):
    size, sides = drawn
    parts = {name: cut(*pair) for name, pair in sides.items()}
    split = {name: pair for name, pair in sides.items() if parts[name].mac_share < 1}
    found = choose_orders([shared_axis(size, list(sides))], parts)
    assert found == choose_orders([shared_axis(size, list(sides))], parts)
    order = found[0].order if found else np.arange(size)
    assert all(all(runs(pair[0], order)) for pair in split.values())


# In models.


def contiguous(seen):
    return {name: is_contiguous(parts) for name, parts in decompositions(seen).items()}


def tokens(seed=0, shape=(2, 5)):
    return {"ids": np.random.default_rng(seed).integers(0, 9, shape)}


def test_hidden_units_that_are_shuffled_are_put_in_order():
    proto = ffn(np.random.default_rng(0))
    graph, seen, _ = looked_at(proto)
    assert contiguous(seen) == {"up": False, "down": False}
    (order,) = chosen(seen)
    assert order.value == "h"
    changed = reorder_axes(graph, [order])
    again = view(changed)
    assert contiguous(again) == {"up": True, "down": True}
    assert chosen(again) == ()
    feeds = {"x": np.random.default_rng(1).standard_normal((4, 6))}
    oracles.assert_close(oracles.run(proto, feeds), oracles.run(ir.to_proto(changed), feeds), 1e-13)


def test_what_comes_in_shuffled_stays_so_but_hidden_units_are_in_order():
    _, seen, parts = looked_at(ffn(np.random.default_rng(3), shuffled_outside=True))
    (order,) = chosen(seen)
    for blocks in ([b.outputs for b in parts["up"].blocks], [b.inputs for b in parts["down"].blocks]):
        assert all(runs(blocks, order.order))


@pytest.mark.parametrize("gated", [False, True])
def test_an_encoder_ends_up_contiguous_everywhere(gated):
    proto = encoder(np.random.default_rng(0), gated=gated)
    graph, seen, _ = looked_at(proto)
    before = contiguous(seen)
    orders = chosen(seen)
    changed = reorder_axes(graph, orders)
    again = view(changed)
    assert not any(before[name] for name in before if name != "head") and all(contiguous(again).values())
    assert chosen(again) == ()
    oracles.assert_close(oracles.run(proto, tokens()), oracles.run(ir.to_proto(changed), tokens()), 1e-12)


def test_a_model_with_nothing_to_reorder_is_left_alone():
    rng = np.random.default_rng(0)
    nodes = [node("MatMul", "x U", "h"), node("Relu", "h", "z"), node("MatMul", "z V", "y")]
    dense = {"U": rng.standard_normal((4, 6)), "V": rng.standard_normal((6, 4))}
    shapes = [{name: (["b", 4], np.float64)} for name in "xy"]
    assert chosen(looked_at(model(nodes, *shapes, dense))[1]) == ()
    _, seen, _ = looked_at(ffn(rng, shuffled_inside=False))
    assert chosen(seen) == ()


def test_contiguous_blocks_in_another_order_on_the_other_side_are_brought_in_line():
    rng = np.random.default_rng(0)
    a, b = groups(rng, 4, 2, False), groups(rng, 6, 2, False)
    weights = {"U": blocked(rng, a, b[::-1]), "V": blocked(rng, b[::-1], a)}
    nodes = [node("MatMul", "x U", "h", "up"), node("Relu", "h", "z"), node("MatMul", "z V", "y", "down")]
    shapes = [{name: (["b", 4], np.float64)} for name in "xy"]
    graph, seen, _ = looked_at(model(nodes, *shapes, weights))
    (order,) = chosen(seen)
    assert order.order.tolist() == [3, 4, 5, 0, 1, 2]
    assert all(contiguous(view(reorder_axes(graph, [order]))).values())


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_transformers_that_torch_exports_are_contiguous_where_their_features_are_free(kind):
    """Queries, keys, values and what the last projection reads are cut into heads, so these sides stay as they are."""
    for package in ("torch", "onnxscript"):
        pytest.importorskip(package)
    from scission.models.networks import transformer as planted_transformer

    sizes = {"width": 32, "heads": 4, "hidden": 64, "attention_blocks": 2, "ffn_blocks": 4, "vocabulary": 20}
    planted = getattr(planted_transformer, kind)(None, np.random.default_rng(0), layers=2, **sizes)
    graph, seen, _ = looked_at(planted.model)
    residual = max(find_shared_axes(seen.found, seen.model), key=lambda one: len(one.constants))
    assert residual.pinned == ""
    changed = reorder_axes(graph, chosen(seen))
    again = view(changed)
    for linear in again.found.linears:
        parts = decompositions(again)[linear.address]
        if len(parts.blocks) == 4:
            assert is_contiguous(parts)
        elif len(parts.blocks) == 2:
            side = "inputs" if linear.address in residual.readers else "outputs"
            assert all(is_run(getattr(block, side)) for block in parts.blocks)
    feeds = {"input_ids": np.random.default_rng(1).integers(0, 20, (2, 7))}
    oracles.assert_close(oracles.run(planted.model, feeds), oracles.run(ir.to_proto(changed), feeds))


@given(st.integers(0, 2**32), st.integers(1, 2), st.booleans())
@settings(max_examples=10)
def test_an_encoder_computes_the_same_in_any_order_of_its_free_streams(seed, layers, gated):
    rng = np.random.default_rng(seed)
    proto = encoder(rng, layers=layers, gated=gated)
    graph, seen, _ = looked_at(proto)
    free = [one for one in find_shared_axes(seen.found, seen.model) if not one.pinned]
    assert len(free) == 1 + 3 * layers  # the states; of each layer queries, values and hidden units
    orders = [Reordering(value=one.value, axis=one.axis, order=rng.permutation(one.size)) for one in free]
    changed = reorder_axes(graph, orders)
    oracles.assert_close(oracles.run(proto, tokens(seed)), oracles.run(ir.to_proto(changed), tokens(seed)), 1e-12)


LINKS = {  # from v to w, both (b, s, d); c is a vector of d, S and N are weights (d, d) and (d, n), T a table
    "activation": ["Tanh v w"],
    "bias": ["Add c v w"],
    "norm": ["LayerNormalization v c w"],
    "mean": ["ReduceMean v last m", "Sub v m w"],
    "softmax": ["Softmax v m", "Add m v w"],
    "residual": ["MatMul v S m", "Add m v w"],
    "gate": ["MatMul v S m", "Sigmoid m k", "Mul k v w"],
    "turn": ["Transpose v m 0 2 1", "Relu m k", "Transpose k w 0 2 1"],
    "fold": ["Reshape v flat m", "Gemm m S c k", "Shape v n", "Reshape k n w"],
    "rows": ["Slice v zero one one m", "Add m v w"],
    "embedding": ["Gather T ids m", "Add m v w"],
    "itself": ["Transpose v m 0 2 1", "MatMul v m k", "MatMul k v w"],
    "linear": ["MatMul v N w"],
    "cut": ["Split v m k", "Concat m k w"],
}


def linked(rng, links):
    """A model of these links, and how wide its last value is."""
    width, nodes = 6, [node("Gather", "table ids", "v0")]
    weights = {
        "table": rng.standard_normal((9, 6)),
        "last": np.array([-1]),
        "zero": np.array([0]),
        "one": np.array([1]),
    }
    for i, link in enumerate(links):
        new = 2 * int(rng.integers(2, 6)) if link == "linear" else width
        fresh = {"c": rng.uniform(0.5, 1, width), "S": rng.standard_normal((width, width)) / width}
        fresh |= {"T": rng.standard_normal((9, width)), "N": rng.standard_normal((width, new)) / width}
        fresh["flat"] = np.array([-1, width])
        for line in LINKS[link]:
            op, *words = line.split()
            known = {"v": f"v{i}", "w": f"v{i + 1}", **{w: w for w in ("ids", "last", "zero", "one")}}
            names = [known.get(w, f"{w}.{i}") for w in words if not w.isdigit()]
            weights |= {f"{w}.{i}": fresh[w] for w in words if w in fresh}
            perm = {"perm": [int(w) for w in words if w.isdigit()]} if op == "Transpose" else {}
            axis = {"axis": -1} if op in ("Split", "Concat") else {}
            two = {"num_outputs": 2} if op == "Split" else {}
            outputs = 2 if op == "Split" else 1
            nodes.append(node(op, " ".join(names[:-outputs]), " ".join(names[-outputs:]), **perm, **axis, **two))
        width = new
    weights["end"] = rng.standard_normal((width, 3))
    nodes.append(node("MatMul", f"v{len(links)} end", "y"))
    inputs, outputs = {"ids": (["b", "s"], np.int64)}, {"y": (["b", "s", 3], np.float64)}
    return model(nodes, inputs, outputs, weights, opset=20)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 20), st.integers(1, 40))
def test_covers_write_runs_and_read_windows_of_a_stream_that_does_not_fall_apart(seed, features, hidden):
    first, last = masks(np.random.default_rng(seed), features + 1, hidden)
    ends = {
        name: found
        for name, mask in (("encode", first), ("decode", last))
        if (found := covers(relate(np.ascontiguousarray(mask)))) is not None
    }
    free_axis = shared_axis(hidden, ["decode"], ["encode"])
    for one in choose_orders([free_axis], {}, ends):
        if "encode" in ends:
            assert all(runs([block.outputs for block in ends["encode"].blocks], one.order))
        assert sorted(one.order.tolist()) == list(range(hidden))


def test_components_decide_where_there_are_some():
    down, cover = cut([[5, 0], [1, 3]], [[0], [1]], (6, 2)), cut([[0], [1]], [[0, 2], [1, 3]])
    (found,) = choose_orders([shared_axis(6, ["down"])], {"down": down}, {"down": cover})
    assert found.order.tolist() == [0, 5, 1, 3, 2, 4]


def test_an_autoregressive_network_needs_no_index_work_behind_its_input():
    proto, _ = build(np.random.default_rng(0), 300, 700)
    made = scission.plan(proto, batch=[256], threads=1, force=True)
    assert [one.value for one in made.reorderings] == ["encode_out"]
    split = scission.apply(proto, made)
    assert "GatherElements" not in oracles.operators(split) and scission.check(proto, split).equal


@given(st.integers(0, 2**32), st.lists(st.sampled_from(sorted(LINKS)), min_size=1, max_size=7))
@settings(max_examples=60)
def test_any_chain_computes_the_same_in_any_order_of_its_free_streams(seed, links):
    rng = np.random.default_rng(seed)
    proto = linked(rng, links)
    graph, seen, _ = looked_at(proto)
    found = find_shared_axes(seen.found, seen.model)
    free = [one for one in found if not one.pinned]
    orders = [Reordering(value=one.value, axis=one.axis, order=rng.permutation(one.size)) for one in free]
    changed = ir.to_proto(reorder_axes(graph, orders))
    assert free or {"cut", "fold"} & set(links)
    oracles.assert_close(oracles.run(proto, tokens(seed % 7)), oracles.run(changed, tokens(seed % 7)), 1e-11)
