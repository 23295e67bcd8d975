import dataclasses

import numpy as np
import oracles
import pytest
from factored import fourier, hadamard, product_model
from framed import emphasised_model, stft_model
from hierarchical import DAUBECHIES, wavelet
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_convolutions import Grown
from random_prepared import SIZES, random_prepared

from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.plan import PlanError
from scission.passes.lowering.target import Target
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.planning.units.prepared import (
    is_raced,
    key_of_preparation,
    prepared_units,
    prepared_ways,
)
from scission.passes.rewrite.preparations import prepared


def planned(model, **sizes):
    named = {dim.dim_param for one in model.graph.input for dim in one.type.tensor_type.shape.dim if dim.dim_param}
    sizes = {name: {**SIZES, "n": 256, **sizes}[name] for name in named}
    return make_plan(load(model), PlanSettings(sizes=sizes, batch=None))


def feeds_of(inputs, rng):
    """Random ones; signals are long."""
    shapes = {
        one.name: [dim.dim_value or SIZES.get(dim.dim_param, 3) for dim in one.type.tensor_type.shape.dim]
        for one in inputs
    }
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@settings(max_examples=6)
@example(3)
@given(st.integers(0, 10**6))
def test_a_part_computes_the_same_as_planned(seed):
    """Of every preparation: what was cut out, and what comes of it with all that the plan does to it."""
    model, _ = random_prepared(seed)
    plan = planned(model)
    units = list(prepared_units(load(model).graph, plan))
    assert [key_of_preparation(one.preparation) for one in units] == [
        key_of_preparation(one) for one in plan.preparations if is_raced(one)
    ]
    for unit in units:
        part = ir.to_proto(unit.part)
        changed = ir.to_proto(prepared(unit.part, (unit.preparation, *unit.followers)))
        feeds = feeds_of(part.graph.input, np.random.default_rng(seed))
        oracles.assert_close(oracles.run(part, feeds), oracles.run(changed, feeds), 1e-4)
        assert oracles.interface(part) == oracles.interface(changed)


def test_frames_are_cut_out_with_the_filter_before_them():
    """Which outputs are computed whole depends on it."""
    model = emphasised_model(fourier(256, window=np.hanning(257)[:-1]), 64, 0.97)
    plan = planned(model, b=4, n=16000)
    (unit,) = prepared_units(load(model).graph, plan)
    assert [node.op_type for node in unit.part.graph][-1] == "Conv" and len(unit.part.graph) == len(model.graph.node)
    whole = prepared(load(model).graph, plan.preparations)
    names = [node.op_type for node in whole.graph]
    assert [node.op_type for node in prepared(unit.part, plan.preparations).graph] == names


def test_ways_are_what_it_may_be_instead():
    model = product_model(wavelet(512, DAUBECHIES))
    plan = planned(model)
    (unit,) = prepared_units(load(model).graph, plan)
    (one,) = plan.preparations
    without = make_plan(load(model), PlanSettings(batch=[256], unprepared=frozenset({"hierarchical"})))
    ways = prepared_ways(unit, without, (256,), Target())
    assert [way.gain for way in ways] == sorted((way.gain for way in ways), reverse=True)
    by_way = {way.way: way for way in ways}
    assert by_way[unit.way].own == one and unit.way == f"hierarchical {one.block}"
    assert {way.own is None for way in ways} == {True, False} and any(way.steps for way in ways)
    assert len({str(way.form) for way in ways}) == len(ways) <= 6


def test_what_another_operator_would_become_is_among_them():
    model = stft_model(np.hanning(257)[:-1], 64)
    plan = planned(model, b=4, n=16000)
    (unit,) = prepared_units(load(model).graph, plan)
    without = make_plan(load(model), PlanSettings(sizes={"b": 4, "n": 16000}, unprepared=frozenset({"frames"})))
    ways = prepared_ways(unit, without, (), Target())
    assert [way.way for way in ways if way.own is None] == ["convolution"]


def test_another_model_is_refused():
    model = product_model(hadamard(512))
    plan = planned(model)
    (one,) = plan.preparations
    other = dataclasses.replace(plan, preparations=(dataclasses.replace(one, nodes=("elsewhere",)),))
    with pytest.raises(PlanError, match="not what the plan says"):
        list(prepared_units(load(model).graph, other))


def test_what_leaves_channels_out_is_no_way_to_split_the_whole():
    """Where it is taken back half of its outputs are left out, since nobody reads them: blocks of what is left are of
    another weight."""
    blocks = np.kron(np.eye(8), np.random.default_rng(0).standard_normal((64, 64)))
    blocks[256:] = 0
    made = Grown(0)
    made.opset, made.inputs["x"], made.feeds["x"] = 17, ["n", 512], np.zeros(1, np.float32)
    value = made.op("Tanh", made.op("MatMul", "x", made.constant(wavelet(512, DAUBECHIES))))
    model = made.model(made.op("MatMul", value, made.constant(blocks.astype(np.float32))))
    plan = planned(model)
    unit = next(iter(prepared_units(load(model).graph, plan)))
    assert unit.preparation.kind == "hierarchical"
    without = make_plan(load(model), PlanSettings(batch=[256], unprepared=frozenset({"hierarchical"})))
    (step,) = [step for step in without.steps if step.node == unit.nodes[0]]
    assert step.shape == (512, 256) != unit.linear.shape
    ways = prepared_ways(unit, without, (256,), Target())
    assert len(ways) > 1 and not any(way.steps for way in ways)
