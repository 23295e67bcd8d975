"""Branches found and merged: what they compute is what they computed apart, run by ONNX Runtime."""

import functools
import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import oracles
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from in_body import in_body
from onnx import helper, numpy_helper
from random_branches import random_branches
from random_images import random_images
from random_recurrent_branches import random_recurrent

from scission.ir.graph.sizes import input_dims, settings_at
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.merged_branches import MergedBranches
from scission.ir.plan.preparation import Refused
from scission.ir.reason import Cause
from scission.models.networks.atoms import atoms
from scission.models.planted.branches import ENDS, SOURCES, Repeated, repeated
from scission.models.sketch import Sketch
from scission.passes.branches import find
from scission.passes.branches.find import find_branches
from scission.passes.lowering.target import Target
from scission.passes.rewrite.merge_branches import merge_branches


def found_in(model, batch=(1, 4)):
    graph = load(model).graph
    sized = functools.partial(settings_at, input_dims(graph), list(batch))
    return graph, find_branches(graph, Target(), sized)


def refused_in(model):
    return [one for one in found_in(model)[1] if isinstance(one, Refused)]


def merged(model):
    graph, all_found = found_in(model)
    found = tuple(one for one in all_found if isinstance(one, MergedBranches))
    return found, merge_branches(graph, found) if found else graph


def feeds_of(model, batch, rng):
    shapes = {one.name: [d.dim_value or batch for d in one.type.tensor_type.shape.dim] for one in model.graph.input}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def assert_same(model, changed, batches=(1, 3)):
    rng = np.random.default_rng(0)
    after = ir.to_proto(changed)
    assert oracles.interface(after) == oracles.interface(model)
    for batch in batches:
        feeds = feeds_of(model, batch, rng)
        oracles.assert_close(oracles.run(model, feeds), oracles.run(after, feeds))


def operators(model):
    return Counter(node.op_type for node in model.graph)


@st.composite
def planted(draw):
    end = draw(st.sampled_from(ENDS))
    return Repeated(
        lanes=draw(st.integers(2, 5)),
        inputs=draw(st.integers(1, 4)),
        widths=tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))),
        equal=draw(st.booleans()),
        source=draw(st.sampled_from(SOURCES)),
        end=end,
        gemm=draw(st.booleans()),
        activation=draw(st.sampled_from(["Relu", "Tanh", "Elu"])),
        axis=draw(st.integers(0, 1 if end == "concat" else 2)),
        watched=draw(st.booleans()),
        shuffled=draw(st.booleans()),
        opset=draw(st.sampled_from([11, 13, 17, 18])),
    )


@settings(max_examples=30)
@given(planted(), st.integers(0, 99), st.booleans())
@example(Repeated(lanes=2, widths=(1,), inputs=1, equal=True, source="places", end="stack", axis=2), 0, False)
def test_planted_branches_become_one_and_compute_the_same(what, seed, turned):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find, "MARGIN", 0.0)
        patch.setattr(find, "WAYS", (turned,))
        made = repeated(np.random.default_rng(seed), what)
        found, changed = merged(made.model)
    if what.equal and what.source == "shared":
        assert not found  # the same several times over, which is none of this
        return
    assert len(found) == 1 and len(found[0].branches[0]) == what.lanes
    products = {place for place in found[0].branches if set(place) & {one[0] for one in made.products}}
    assert {frozenset(place) for place in products} == {frozenset(one[0] for one in made.products)}
    assert not {name for one in made.products for name in one} & {node.name for node in changed.graph}
    none = feeds_of(made.model, 0, np.random.default_rng(0))  # a product of stacks that is turned inside ends here
    assert_same(made.model, changed, batches=(1, 3, 0) if oracles.runs(made.model, none) else (1, 3))


@settings(max_examples=50)
@given(st.integers(0, 1 << 20), st.booleans())
@example(1900, False)  # a Transpose that a sum lets through, of which ONNX Runtime would end without rows
def test_random_branches_compute_the_same_as_one(seed, turned):
    model, *_ = random_branches(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find, "MARGIN", 0.0)
        patch.setattr(find, "WAYS", (turned,))
        _, changed = merged(model)
    assert_same(model, changed)
    assert_runs_on_nothing(model, changed)


def assert_runs_on_nothing(model, changed):
    """Without rows it runs where the original does, and makes as much wherever that is what the original declares."""
    feeds = feeds_of(model, 0, np.random.default_rng(0))
    before = oracles.runs(model, feeds)
    if before is None:
        return
    after = oracles.run(ir.to_proto(changed), feeds)
    for value, one, other in zip(model.graph.output, before, after, strict=True):
        # ONNX Runtime (1.31) lets the axis of a reduction stay where it reduces nothing, whatever it was told.
        if one.ndim == len(value.type.tensor_type.shape.dim) and "ReduceSum" not in str(model.graph.node):
            assert one.shape == other.shape


@pytest.mark.parametrize("where", ["matrices", "matrices of pieces", "rows", "pieces"])
@pytest.mark.parametrize("gemm", [False, True], ids=["right", "bias"])
def test_branches_with_weights_of_their_own_run_without_rows(where, gemm):
    """ONNX Runtime stretches no stack of weights over an axis of nothing."""
    before = {"matrices": ["n", "t"], "matrices of pieces": [2, "n", 3], "rows": ["n"], "pieces": ["n", 2, "t"]}[where]
    rng = np.random.default_rng(0)
    sketch = Sketch(rng)
    x = sketch.input("x", [*before, 12])
    results = []
    for lane in range(3):
        piece = sketch.op("Slice", x, [4 * lane], [4 * lane + 4], [len(before)])
        value = sketch.op("MatMul", piece, rng.standard_normal((4, 5), np.float32))
        results.append(
            sketch.op("Tanh", sketch.op("Add", value, rng.standard_normal(5, np.float32))) if gemm else value
        )
    sketch.output(sketch.op("Concat", *results, axis=-1), shape=[*before, 15], name="y")
    model = sketch.model()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find, "MARGIN", 0.0)
        patch.setattr(find, "WAYS", (False,))
        found, changed = merged(model)
    assert len(found) == 1
    after = ir.to_proto(changed)
    for n, t in ((2, 3), (1, 1), (0, 3), (3, 0), (0, 0)):
        shape = [{"n": n, "t": t}.get(one, one) for one in (*before, 12)]
        feeds = {"x": rng.standard_normal(shape).astype(np.float32)}
        for optimised in (True, False):
            one, other = (oracles.run(each, feeds, optimised=optimised) for each in (model, after))
            oracles.assert_close(one, other)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 20))
def test_random_branches_of_images_compute_the_same_as_one(seed):
    model, _ = random_images(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find, "MARGIN", 0.0)
        _, changed = merged(model)
    if oracles.runs(model, feeds_of(model, 1, np.random.default_rng(0))) is not None:  # no window that is too large
        assert_same(model, changed)
        assert_runs_on_nothing(model, changed)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 20))
def test_random_recurrent_branches_compute_the_same_as_one(seed):
    model, _ = random_recurrent(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find, "MARGIN", 0.0)
        _, changed = merged(model)
    assert_same(model, changed)  # ONNX Runtime ends where there are no sequences


def sequences(lanes, *, equal=True, place=1, given=False):
    """Sequences on an axis of their own, each with a recurrent operator of which one result is read."""
    sketch = Sketch(np.random.default_rng(0))
    x = sketch.input("x", [4, lanes, "n", 8])
    state = [None, sketch.input("state", [1, "n", 16])] if given else []
    ends = []
    for lane in range(lanes):
        rng = np.random.default_rng(0 if equal else lane)
        weights = [rng.standard_normal((1, 48, 8), np.float32), rng.standard_normal((1, 48, 16), np.float32)]
        piece = sketch.op("Gather", x, np.asarray(lane, np.int64), axis=1)
        bias = [rng.standard_normal((1, 96), np.float32)]
        made = sketch.op("GRU", piece, *weights, *bias, *state, outputs=2, hidden_size=16)
        ends.append(made[place])
    sketch.output(sketch.op("Concat", *ends, axis=-1), shape=[None] * (4 - place), name="y")
    return sketch.model()


@pytest.mark.parametrize("place", [0, 1])
def test_recurrent_operators_with_the_same_weights_become_one(place):
    model = sequences(6, place=place)
    found, changed = merged(model)
    assert len(found) == 1 and found[0].gain > 1.2 and operators(changed)["GRU"] == 1
    assert_same(model, changed)


@pytest.mark.parametrize("other", [{"equal": False}, {"given": True}])
def test_recurrent_operators_with_weights_of_their_own_or_a_state_to_begin_with_stay(other):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find, "MARGIN", 0.0)
        found, changed = merged(sequences(3, **other))
    assert not found and operators(changed)["GRU"] == 3


def images(lanes, *, equal=False, channels=4, cut="Gather"):
    """Images on an axis of their own, or channels of one image, each with a convolution and a pool."""
    rng = np.random.default_rng(0)
    sketch = Sketch(rng)
    own = ["n", lanes, channels, 8, 8] if cut == "Gather" else ["n", lanes * channels, 8, 8]
    x, ends = sketch.input("x", own), []
    kernels = rng.standard_normal((lanes, channels, channels, 3, 3)).astype(np.float32)
    for lane in range(lanes):
        if cut == "Gather":
            piece = sketch.op("Gather", x, np.asarray(lane, np.int64), axis=1)
        else:
            piece = sketch.op("Slice", x, [lane * channels], [(lane + 1) * channels], [1])
        made = sketch.op("Relu", sketch.op("Conv", piece, kernels[0 if equal else lane], pads=[1] * 4))
        ends.append(sketch.op("MaxPool", made, kernel_shape=[2, 2]))
    sketch.output(sketch.op("Concat", *ends, axis=1), name="y")
    return sketch.model()


@pytest.mark.parametrize("equal", [False, True])
def test_convolutions_of_branches_become_one(equal):
    model = images(6, equal=equal)
    found, changed = merged(model)
    assert [len(one.branches[0]) for one in found] == [6]
    assert operators(changed)["Conv"] == operators(changed)["MaxPool"] == 1
    (conv,) = (node for node in changed.graph if node.op_type == "Conv")
    group = conv.attributes["group"].as_int() if "group" in conv.attributes else 1
    assert group == (1 if equal else 6)
    assert_same(model, changed)


def test_groups_of_channels_that_were_written_out_become_groups_without_a_transpose():
    model = images(6, cut="Slice")
    found, changed = merged(model)
    assert found and "Transpose" not in before_first_convolution(changed)
    assert_same(model, changed)


def before_first_convolution(model):
    return {node.op_type for node in itertools.takewhile(lambda node: node.op_type != "Conv", model.graph)}


def test_members_of_an_ensemble_become_one_network_of_stacks():
    model = atoms(np.random.default_rng(0), members=4, kinds=3, widths=(6, 5, 4, 1))
    found, changed = merged(model)
    assert [(one.turned, len(one.branches[0])) for one in found] == [(True, 12)]
    assert len(changed.graph) <= 16 and operators(changed)["MatMul"] == 3
    assert_same(model, changed, batches=(1, 3, 0))


def test_a_layer_that_was_unrolled_becomes_one_product():
    what = Repeated(lanes=12, inputs=8, widths=(5,), equal=True, source="places", end="stack", axis=0)
    model = repeated(np.random.default_rng(0), what).model
    _, changed = merged(model)
    assert operators(changed) == {"Transpose": 1, "MatMul": 1, "Add": 1}
    assert_same(model, changed)


@pytest.mark.parametrize("lanes", [2, 40])
def test_products_that_take_their_time_are_left_apart(lanes):
    what = Repeated(lanes=lanes, inputs=512, widths=(512,), source="shared", end="outputs")
    found, _ = merged(repeated(np.random.default_rng(0), what).model)
    assert not found


def test_what_draws_at_random_is_not_followed():
    what = Repeated(lanes=12, inputs=8, widths=(8, 8), equal=True, source="places", end="stack", axis=0)
    model = repeated(np.random.default_rng(0), replace(what, activation="RandomNormalLike")).model
    found, _ = merged(model)
    assert not any("random" in address for one in found for address in one.nodes)


@pytest.mark.parametrize("shape, flat", [(["n", 4, 8], True), (["n", "t", 8], False)])
def test_no_rows_stay_no_rows(shape, flat, monkeypatch):
    monkeypatch.setattr(find, "MARGIN", 0.0)
    rng = np.random.default_rng(0)
    nodes = []
    for lane in range(6):
        nodes.append(helper.make_node("MatMul", ["x", f"W{lane}"], [f"m{lane}"], f"product{lane}"))
        nodes.append(helper.make_node("Flatten" if flat else "Relu", [f"m{lane}"], [f"r{lane}"], f"end{lane}"))
    nodes.append(helper.make_node("Concat", [f"r{lane}" for lane in range(6)], ["y"], "join", axis=1))
    x, y = (helper.make_tensor_value_info(name, 1, dims) for name, dims in (("x", shape), ("y", None)))
    weights = [numpy_helper.from_array(rng.standard_normal((8, 5)).astype(np.float32), f"W{lane}") for lane in range(6)]
    graph = helper.make_graph(nodes, "g", [x], [y], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found, changed = merged(model)
    assert found
    for rows in (0, 1, 3):
        feeds = {"x": rng.standard_normal((rows, 4, 8)).astype(np.float32)}
        oracles.assert_close(oracles.run(model, feeds), oracles.run(ir.to_proto(changed), feeds))


@settings(max_examples=15)
@given(st.integers(0, 1 << 20), st.booleans(), st.sampled_from(["If", "Loop", "Scan"]), st.booleans())
def test_random_branches_in_a_body_compute_the_same_as_one(seed, turned, op, outside):
    model = in_body(random_branches(seed)[0], op, weights_outside=outside)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find, "MARGIN", 0.0)
        patch.setattr(find, "WAYS", (turned,))
        _, changed = merged(model)
    assert_same(model, changed)


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("op", ["If", "Loop", "Scan"])
def test_a_layer_that_was_unrolled_in_a_body_becomes_one_product(op, outside):
    what = Repeated(lanes=12, inputs=8, widths=(5,), equal=True, source="places", end="stack", axis=0)
    model = in_body(repeated(np.random.default_rng(0), what).model, op, weights_outside=outside)
    found, changed = merged(model)
    assert len(found) == 1 and all("/" in address for address in found[0].nodes)
    assert sum(node.op_type == "MatMul" for node in oracles.every_node(ir.to_proto(changed))) == 1
    assert_same(model, changed)


def of_two(between="Relu", shape=(8, 8)):
    """Two products of one input with weights of their own, and what follows on each."""
    rng = np.random.default_rng(0)
    nodes = []
    for lane in range(2):
        nodes.append(helper.make_node("MatMul", ["x", f"W{lane}"], [f"m{lane}"], f"product{lane}"))
        nodes.append(helper.make_node(between, [f"m{lane}"], [f"y{lane}"], f"end{lane}"))
    weights = [numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), f"W{lane}") for lane in range(2)]
    outputs = [helper.make_tensor_value_info(f"y{lane}", 1, None) for lane in range(2)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", 1, [4, 8])], outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_branches_that_gain_nothing_are_told_with_what_was_predicted():
    what = Repeated(lanes=2, inputs=400, widths=(400,), source="shared", end="outputs")
    (one,) = refused_in(repeated(np.random.default_rng(0), what).model)
    assert one.reason.cause is Cause.NO_GAIN and one.gain is not None and one.gain < find.MARGIN


def test_branches_of_which_the_weights_fall_apart_are_told(monkeypatch):
    monkeypatch.setattr(find, "MARGIN", 0.0)
    model = of_two()
    for one in model.graph.initializer:
        halves = numpy_helper.to_array(one).copy()
        halves[:4, 4:] = halves[4:, :4] = 0
        one.CopyFrom(numpy_helper.from_array(halves, one.name))
    (one,) = refused_in(model)
    assert one.reason.cause is Cause.COMPONENTS and set(one.nodes) == {"product0", "product1", "end0", "end1"}


def test_branches_that_there_is_no_form_for_are_told():
    model = of_two()
    for node in model.graph.node:
        if node.op_type == "MatMul":
            node.op_type = "Gemm"
            node.attribute.append(helper.make_attribute("alpha", 0.5))
    (one,) = refused_in(model)
    assert one.reason.cause is Cause.UNSUPPORTED and one.gain is None and one.nodes == ("product0", "product1")
