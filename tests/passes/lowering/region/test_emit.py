"""Regions in blocks compute on ONNX Runtime what they computed before, whatever stands in them; and what went wrong."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_regions import Builder
from reference import model, node
from regions import (
    ALL,
    MS,
    ROWS,
    RUNS,
    assert_same,
    chain,
    check_every_way,
    checked,
    dense_plan,
    done,
    grown,
    ints,
    joined,
    looked_at,
    problem,
    session,
)
from shared_axes import blocked, groups

import scission
from scission.ir.plan.plan import Block, Decomposition, PlanError
from scission.models.planted import ffn as planted_ffn
from scission.models.planted.recurrent import Cell, build_cell
from scission.passes.lowering.region.cut import stacks_of

# Everything at random.


@settings(max_examples=35)
@given(st.integers(0, 2**32))
def test_random_regions_in_every_way(seed):
    rng = np.random.default_rng(seed)
    built = Builder(seed, [np.float64, np.float64, np.float32, np.float16][int(rng.integers(4))])
    proto = built.build(int(rng.integers(3, 10)))
    if built.dtype == np.float16 and not built.survives_empty():
        return  # ONNX Runtime crashes on a Transpose that it merges into a product of float16
    try:
        session(proto)
    except Exception:  # an operator that ONNX Runtime lacks for this type
        return
    runs = RUNS if built.survives_empty() else RUNS[:3]
    check_every_way(proto, [built.feeds(index, N, S) for index, (N, S) in enumerate(runs)])


# Chains spelt out.


def test_a_region_of_matrices_goes_every_way():
    ways, reasons = done(checked(chain([node("Relu", "h", "g", "act")], rank=2)))
    assert ways == ALL and not reasons


def test_a_constant_for_each_row_cannot_be_turned():
    """Features come first there, so that a constant (rows, features) would have to be transposed; it was reshaped."""
    between = [node("Add", "h c", "g", "add")]
    proto = chain(between, rank=2, lead=[3], constants={"c": np.arange(24.0).reshape(3, 8)})
    ways, reasons = done(checked(proto, RUNS[:1]))
    assert ways == ROWS and any("tells rows apart" in reason for reason in reasons)


def test_a_constant_that_adds_an_axis_keeps_it():
    between = [node("Add", "h c", "g", "add")]
    ways, _ = done(checked(chain(between, rank=2, constants={"c": np.arange(8.0).reshape(1, 1, 8)}), RUNS[:3]))
    assert ways == ROWS


def test_a_selection_out_of_order_is_no_window():
    """Inputs 0, 3, 2 are as many as from 0 to 2, and were taken for a run."""
    S = np.zeros((8, 6))
    S[[0, 3, 2, 5, 7, 6], np.arange(6)] = 1
    rng = np.random.default_rng(0)
    V = blocked(rng, [[0, 1, 2], [3, 4, 5]], [[0, 2], [1, 3]])
    proto = model(
        [node("MatMul", "x S", "h", "pick"), node("Relu", "h", "g", "act"), node("MatMul", "g V", "y", "down")],
        {"x": (["N", 8], np.float64)},
        {"y": (None, np.float64)},
        {"S": S, "V": V},
    )
    ways, _ = done(checked(proto))
    assert ways == ALL


@pytest.mark.parametrize(
    ("equation", "order"), [("kn,abk->abn", "U x"), ("nk,abk->abn", "U x"), ("abk,nk->abn", "x U")]
)
def test_an_einsum_may_have_its_weight_first(equation, order):
    proto = chain([node("Relu", "h", "g", "act")])
    if "nk" in equation:
        turned = next(t for t in proto.graph.initializer if t.name == "U")
        turned.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(turned).T.copy(), "U"))
    proto.graph.node[0].CopyFrom(node("Einsum", order, "h", "up", equation=equation))
    assert done(checked(proto))[0] == ROWS


def test_a_linear_that_reads_features_of_another_axis_ends_the_region():
    """Rows and columns are equally many, so that their labels fit where they do not belong."""
    rng = np.random.default_rng(0)
    four = [[0, 1], [2, 3]]
    proto = model(
        [node("MatMul", "x U", "h", "up"), node("Transpose", "h", "g", "turn"), node("MatMul", "g V", "y", "down")],
        {"x": ([4, 4], np.float64)},
        {"y": (None, np.float64)},
        {"U": blocked(rng, four, four), "V": blocked(rng, four, four)},
    )
    assert not grown(looked_at(proto))


def test_a_linear_over_the_features_of_each_head_ends_the_region():
    between = [node("Reshape", "h s", "g", "heads")]
    rng = np.random.default_rng(0)
    proto = chain(between, constants={"s": ints(0, 0, 2, 4)})
    weight = next(t for t in proto.graph.initializer if t.name == "V")
    weight.CopyFrom(onnx.numpy_helper.from_array(blocked(rng, [[0, 1], [2, 3]], [[0], [1]]), "V"))
    assert not grown(looked_at(proto))


@pytest.mark.parametrize("op", ["BiasGelu", "FastGelu"])
def test_a_fused_bias_has_one_dimension(op):
    """It does not broadcast, so that it can neither be stacked nor turned."""
    rng = np.random.default_rng(0)
    units = [[0, 1], [2, 3]]
    weights = {"U": blocked(rng, units, units), "V": blocked(rng, units, units), "b": rng.standard_normal(4)}
    nodes = [node("MatMul", "x U", "h", "up"), node(op, "h b", "g", "act", MS), node("MatMul", "g V", "y", "down")]
    proto = model(
        nodes,
        {"x": (["N", 4], np.float32)},
        {"y": (None, np.float32)},
        {name: array.astype(np.float32) for name, array in weights.items()},
        domains=[MS],
    )
    graph = looked_at(proto)
    for region in grown(graph):  # the shape of what it makes is not inferred, so that none is grown as yet
        assert problem(graph, region, region.decompositions, "features_last", 2)


def test_a_zero_that_copies_an_extent_of_features():
    """(4, 2 features) to (-1, 0, 2): the zero copies how many features there are, of which a block has one."""
    between = [
        node("Reshape", "h s", "r", "apart"),
        node("Mul", "r r", "q", "square"),
        node("Reshape", "q t", "g", "together"),
    ]
    proto = chain(between, rank=2, H=2, lead=[4], constants={"s": ints(-1, 0, 2), "t": ints(4, 2)})
    assert done(checked(proto, RUNS[:1]))[0] == ROWS


def test_no_rows_at_all_in_a_stack_of_three_dimensions():
    """ONNX Runtime broadcasts no empty batch in a product, and divides by zero where it merges a Transpose into one."""
    for lead in (["N", "S"], ["N", 3], [2, "S"], ["N", 1]):
        proto = chain([node("Relu", "h", "g", "act")], lead=lead)
        assert done(checked(proto))[0] == ROWS
    _, reasons = done(checked(chain([node("Relu", "h", "g", "act")], opset=13)))
    assert any("operator set 13" in reason for reason in reasons)


def test_a_mean_over_negative_axes_of_nothing():
    """ONNX Runtime takes negative axes of an empty tensor for others."""
    between = [node("ReduceMean", "h a", "g", "mean")]
    assert done(checked(chain(between, lead=["N", 3], constants={"a": ints(1)})))[0] == ROWS


def test_types_that_nothing_tells_are_not_guessed():
    """A comparison makes Booleans, and no value_info says so."""
    between = [
        node("Greater", "h c", "m", "compare"),
        node("Cast", "m", "f", "number", to=onnx.TensorProto.DOUBLE),
        node("Mul", "h f", "g", "mask"),
    ]
    proto = chain(between, constants={"c": np.float64(0)}, outputs=[("m", np.bool_)])
    assert done(checked(proto))[0] == ROWS


def test_grouped_queries_repeat_their_heads():
    """Key and value heads are repeated for the queries: Unsqueeze, Expand, Reshape."""
    between = [
        node("Reshape", "h s", "r", "heads"),
        node("Transpose", "r", "t", "first", perm=[0, 2, 1, 3]),
        node("Unsqueeze", "t two", "u", "apart"),
        node("Shape", "x", "shape", "shape"),
        node("Gather", "shape zero", "n", "batch"),
        node("Gather", "shape one", "m", "length"),
        node("Concat", "n heads m each", "wide", "wide", axis=0),
        node("Expand", "u wide", "e", "repeat"),
        node("Concat", "n four m each2", "flat", "flat", axis=0),
        node("Reshape", "e flat", "q", "join"),
        node("Transpose", "q", "b", "back", perm=[0, 2, 1, 3]),
        node("Reshape", "b last", "g", "merge"),
    ]
    constants = {"s": ints(0, 0, 2, 4), "two": ints(2), "zero": ints(0), "one": ints(1), "heads": ints(2, 3)}
    constants |= {"each": ints(4), "four": ints(6), "each2": ints(4), "last": ints(0, 0, 24)}
    proto = chain(between, constants=constants)
    rng = np.random.default_rng(1)
    weight = next(t for t in proto.graph.initializer if t.name == "V")
    V = blocked(rng, [np.arange(12), np.arange(12, 24)], groups(rng, 8, 2))
    weight.CopyFrom(onnx.numpy_helper.from_array(V, "V"))
    assert done(checked(proto, RUNS[:4]))[0] == ROWS


def test_attention_by_heads():
    between = [
        node("Reshape", "h s", "r", "heads"),
        node("Transpose", "r", "q", "queries", perm=[0, 2, 1, 3]),
        node("Transpose", "r", "k", "keys", perm=[0, 2, 3, 1]),
        node("MatMul", "q k", "p", "scores"),
        node("Add", "p mask", "a", "masked"),
        node("Softmax", "a", "w", "softmax"),
        node("MatMul", "w q", "o", "mix"),
        node("Transpose", "o", "t", "back", perm=[0, 2, 1, 3]),
        node("Reshape", "t all", "g", "merge"),
    ]
    inputs = {"mask": (["N", 1, 1, "S"], np.float64)}
    proto = chain(between, H=16, blocks=4, constants={"s": ints(0, 0, 4, 4), "all": ints(0, 0, 16)}, inputs=inputs)
    counts = checked(proto, RUNS[:3])
    assert done(counts)[0] == ROWS


def test_a_mask_for_each_head_is_cut_or_cannot_be_stacked():
    between = [
        node("Reshape", "h s", "r", "heads"),
        node("Mul", "r mask", "a", "masked"),
        node("Reshape", "a all", "g", "merge"),
    ]
    constants, inputs = {"s": ints(0, 0, 2, 4), "all": ints(0, 0, 8)}, {"mask": (["N", "S", 2, 1], np.float64)}
    ways, reasons = done(checked(chain(between, constants=constants, inputs=inputs)))
    assert ways == {("features_last", False)} and any("comes from outside and tells" in reason for reason in reasons)


def test_values_inside_are_read_by_branches_by_shapes_and_by_callers():
    rng = np.random.default_rng(0)
    bodies = {
        name: onnx.helper.make_graph(
            [node(op, "r", out, f"inside_{out}")], name, [], [onnx.helper.make_empty_tensor_value_info(out)]
        )
        for name, op, out in (("then_branch", "Neg", "p"), ("else_branch", "Abs", "q"))
    }
    between = [
        node("Relu", "h", "r", "act"),
        node("If", "c", "z", "if", **bodies),
        node("Shape", "r", "sizes", "sizes"),
        node("Sigmoid", "r", "g", "gate"),
    ]
    outputs = [("z", np.float64), ("sizes", np.int64), ("r", np.float64)]
    proto = chain(between, inputs={"c": ([], np.bool_)}, outputs=outputs, seed=int(rng.integers(9)))
    assert done(checked(proto))[0] == ROWS


def test_a_region_inside_a_branch():
    inner = chain([node("Relu", "h", "g", "act")], rank=2).graph
    body = onnx.helper.make_graph(list(inner.node), "then", [], [onnx.helper.make_empty_tensor_value_info("y")])
    other = onnx.helper.make_graph(
        [node("Identity", "x", "z", "same")], "else", [], [onnx.helper.make_empty_tensor_value_info("z")]
    )
    proto = model(
        [node("If", "c", "out", "if", then_branch=body, else_branch=other)],
        {"x": (["N", 8], np.float64), "c": ([], np.bool_)},
        {"out": (None, np.float64)},
        {t.name: onnx.numpy_helper.to_array(t) for t in inner.initializer},
    )
    plan = scission.plan(proto, provider="cpu", threads=1, force=True)
    assert plan.regions and plan.regions[0].nodes == ("if.then_branch/up", "if.then_branch/down")
    changed = scission.apply(proto, plan)
    for taken in (True, False):
        data = {"x": np.random.default_rng(0).standard_normal((3, 8)), "c": np.array(taken)}
        assert_same(oracles.run(proto, data), oracles.run(changed, data))


# Plans that were edited by hand.


def edited(blocks, proto=None):
    proto = proto or chain([node("Relu", "h", "g", "act")], rank=2)
    seen = looked_at(proto)
    (region,) = grown(seen)
    found = [Decomposition(d.shape, tuple(blocks(d))) for d in region.decompositions]
    return proto, joined(dense_plan(proto), seen, [(region, found)])


def test_an_output_in_no_block_is_refused():
    """It would be left out of what leaves the region."""
    proto = chain([node("Relu", "h", "g", "act")], rank=2, K=48, H=48)
    V = next(tensor for tensor in proto.graph.initializer if tensor.name == "V")
    array = onnx.numpy_helper.to_array(V).copy()
    array[:, 0] = 0
    V.CopyFrom(onnx.numpy_helper.from_array(array, "V"))
    _, plan = edited(lambda d: d.blocks, proto)
    up, down = plan.steps
    blocks = [Block(block.inputs, block.outputs[block.outputs != 0]) for block in down.decomposition.blocks]
    short = replace(down, decomposition=Decomposition(down.shape, tuple(blocks)))
    with pytest.raises(PlanError, match="contradict"):
        scission.apply(proto, replace(plan, steps=(up, short)))


def test_blocks_that_do_not_fit_together_are_refused():
    proto, plan = edited(lambda d: d.blocks)
    last = plan.steps[-1]
    turned = replace(last, decomposition=Decomposition(last.shape, last.decomposition.blocks[::-1]))
    with pytest.raises(PlanError, match="contradict"):
        scission.apply(proto, replace(plan, steps=(*plan.steps[:-1], turned)))


@pytest.mark.parametrize("opset", [12, 17])
def test_linears_that_do_more_or_are_too_old_are_refused(opset):
    """A Gemm that adds another value would lose it."""
    proto = chain([node("Relu", "h", "g", "act")], rank=2, opset=max(opset, 13))
    _, plan = edited(lambda d: d.blocks, proto)
    if opset == 12:
        proto.opset_import[0].version = 12
        match = "older than 13"
    else:
        proto.graph.node[0].CopyFrom(node("Gemm", "x U x", "h", "up"))
        match = "more than a product"
    with pytest.raises(PlanError, match=match):
        scission.apply(proto, plan)


def test_blocks_of_different_sizes_cannot_be_stacked():
    rng = np.random.default_rng(0)
    U, V = blocked(rng, [[0, 1], [2, 3, 4]], [[0], [1, 2]]), blocked(rng, [[0], [1, 2]], [[0], [1]])
    proto = model(
        [node("MatMul", "x U", "h", "up"), node("MatMul", "h V", "y", "down")],
        {"x": (["N", 5], np.float64)},
        {"y": (None, np.float64)},
        {"U": U, "V": V},
    )
    ways, reasons = done(checked(proto))
    assert ways == {("features_last", False), ("features_first", False), ("stacked", True)}  # one stack for each shape
    assert reasons == {"blocks of different sizes cannot be stacked"}


def test_the_second_rewrite_changes_nothing():
    planted = planted_ffn.build(np.random.default_rng(0), d=64, hidden=128, blocks=4)
    plan = scission.plan(planted.model, provider="cpu", threads=1, force=True)
    assert plan.regions
    changed = scission.apply(planted.model, plan)
    again = scission.plan(changed, provider="cpu", threads=1, force=True)
    assert not again.rewrites and scission.apply(changed, again) is changed


def test_fused_products_keep_their_domain():
    rng = np.random.default_rng(0)
    units = [[0, 1], [2, 3]]
    U, V = (blocked(rng, units, units).astype(np.float32) for _ in range(2))
    nodes = [
        node("FusedMatMul", "x U", "h", "up", MS, alpha=0.5, transB=1),
        node("MatMul", "h V", "y", "down"),
    ]
    proto = model(
        nodes, {"x": (["N", 3, 4], np.float32)}, {"y": (None, np.float32)}, {"U": U.T.copy(), "V": V}, domains=[MS]
    )
    hint = onnx.helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, ["N", 3, 4])
    proto.graph.value_info.append(hint)
    seen = looked_at(proto)
    for region in grown(seen):
        changed = scission.apply(proto, joined(dense_plan(proto), seen, [(region, region.decompositions)]))
        assert Counter((n.op_type, n.domain) for n in changed.graph.node)["FusedMatMul", MS] == 2


def test_the_last_stack_may_be_smaller():
    assert stacks_of(5, 2) == [(0, 1), (2, 3), (4,)]
    proto = chain([node("Relu", "h", "g", "act")], rank=2, K=9, H=9, blocks=3)
    assert done(checked(proto))[0] == ALL


@pytest.mark.parametrize("way", ["region", "recurrent"])
def test_new_nodes_are_called_after_their_origin_and_say_so(way):
    """So that a viewer shows the blocks of an operator under its name."""
    rng = np.random.default_rng(0)
    built = planted_ffn.build(rng, d=32, hidden=64, blocks=4) if way == "region" else build_cell(rng, Cell())
    changed = scission.apply(built.model, scission.plan(built.model, provider="cpu", threads=1, force=True))
    before = oracles.node_names(built.model)
    new = [node for node in changed.graph.node if node.name not in before]
    told = [{entry.key: entry.value for entry in node.metadata_props} for node in new]
    assert len(new) > 4 and {one["scission.origin"] for one in told} <= set(before)
    for made, one in zip(new, told, strict=True):
        name = f"{one['scission.origin']}/{one['scission.role']}/{made.op_type}"
        assert re.fullmatch(rf"{re.escape(name)}(_\d+)?", made.name)
    assert any(one["scission.role"].startswith("block") for one in told)
    origins = {one["scission.origin"] for one in told}
    stored = oracles.stored(changed) - oracles.stored(built.model)
    assert stored and {name.partition("/")[0] for name in stored} <= origins
