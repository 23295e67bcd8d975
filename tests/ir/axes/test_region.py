import numpy as np
import pytest
from reference import model, node
from regions import looked_at

from scission.ir.axes.feature_ids import trace
from scission.ir.axes.region import MINIMUM, region_of, segments, unfit
from scission.ir.reason import Cause
from scission.models.planted import ffn as planted_ffn

TWO = np.kron(np.eye(2), np.ones((2, 2)))


def seen_of(nodes, outputs=("y",), inputs=None, constants=None, opset=17):
    shapes = {"x": (["N", 4], np.float64), **(inputs or {})}
    proto = model(
        nodes, shapes, dict.fromkeys(outputs, (None, np.float64)), constants or {"U": TWO, "V": TWO}, opset=opset
    )
    return looked_at(proto)


def named(values):
    return [value.name for value in values]


CHAIN = [node("MatMul", "x U", "h", "up"), node("Relu", "h", "g", "act"), node("MatMul", "g V", "z", "down")]


def test_a_region_is_what_lies_between_its_linears_and_behind_the_last():
    seen = seen_of([*CHAIN, node("Sigmoid", "z", "y", "end")])
    region = region_of(seen.found.linears, seen.found.constants)
    up, down = region.linears
    assert named(region.inner) == ["act", "end"] and named(region.written) == ["h", "z", "g", "y"]
    assert (region.is_internal(up), region.is_internal(down)) == (False, True)
    assert named(region.exits) == ["y"] and named(region.nodes) == ["up", "down", "act", "end"]
    assert region.inputs(down).tolist() == [0, 1, 2, 3]
    short = region_of(seen.found.linears, seen.found.constants, tail=False)
    assert named(short.inner) == ["act"] and named(short.exits) == ["z"]


@pytest.mark.parametrize(
    "tail",
    [
        [node("Sigmoid", "z", "y", "end"), node("Neg", "z", "w", "other")],  # somebody else reads it
        [node("Add", "z k", "y", "end")],  # another operand
        [node("Softmax", "z", "y", "end")],  # no elementwise operator
    ],
)
def test_what_is_no_tail(tail):
    seen = seen_of(
        [*CHAIN, *tail], outputs=("y", "w") if len(tail) > 1 else ("y",), inputs={"k": (["N", 4], np.float64)}
    )
    region = region_of(seen.found.linears, seen.found.constants)
    assert named(region.inner) == ["act"] and named(region.exits) == ["z"]


def test_a_bias_that_is_folded_in_belongs_to_its_linear():
    nodes = [node("MatMul", "x U", "p", "up"), node("Add", "b p", "h", "bias"), node("MatMul", "h V", "y", "down")]
    seen = seen_of(nodes, constants={"U": TWO, "V": TWO, "b": np.ones(4)})
    region = region_of(seen.found.linears, seen.found.constants)
    assert named(region.nodes) == ["up", "down", "bias"] and named(region.exits) == ["y"]


def test_values_that_others_read_leave():
    nodes = [*CHAIN, node("Shape", "g", "y", "sizes")]
    proto = model(
        nodes, {"x": (["N", 4], np.float64)}, {"y": (None, np.int64), "h": (None, np.float64)}, {"U": TWO, "V": TWO}
    )
    seen = looked_at(proto)
    region = region_of(seen.found.linears, seen.found.constants)
    assert named(region.exits) == ["h", "g"]


def test_segments_run_from_writers_to_readers():
    nodes = [
        node("MatMul", "x U", "h", "up"),
        node("MatMul", "x V", "k", "gate"),
        node("Mul", "h k", "g", "product"),
        node("MatMul", "g U", "z", "down"),
        node("Relu", "z", "r", "act"),
        node("MatMul", "r V", "y", "last"),
    ]
    seen = seen_of(nodes)
    features = trace(seen.model.graph, seen.found.linears, seen.found.constants)
    found = segments(features, seen.found.linears)
    told = [([w.address for w in s.writers], [r.address for r in s.readers]) for s in found]
    assert told == [(["up", "gate"], ["down"]), (["down"], ["last"])]
    assert {value.name for value in found[0].values} == {"h", "k", "g"}


def test_a_linear_along_another_axis_reads_no_segment():
    nodes = [node("MatMul", "x U", "h", "up"), node("Transpose", "h", "g", "turn"), node("MatMul", "g V", "y", "down")]
    seen = seen_of(nodes, inputs={"x": ([4, 4], np.float64)})
    assert segments(trace(seen.model.graph, seen.found.linears, seen.found.constants), seen.found.linears) == ()
    region = region_of(seen.found.linears, seen.found.constants)
    assert region.is_internal(region.linears[1]) and region.inputs(region.linears[1]) is None


def test_which_linears_take_part():
    found = {
        "old": seen_of(CHAIN, outputs=("z",), opset=MINIMUM - 1).found.linears[0],
        "plain": seen_of(CHAIN, outputs=("z",)).found.linears[0],
        "more": seen_of([node("Gemm", "x U x", "y", "up")]).found.linears[0],
        "unknown": seen_of([node("MatMul", "x U", "y", "up")], inputs={"x": (None, np.float64)}).found.linears[0],
        "left": seen_of([node("MatMul", "U x", "y", "up")], inputs={"x": ([4, 4], np.float64)}).found.linears[0],
    }
    why = {name: unfit(linear) for name, linear in found.items()}
    assert why["plain"] is None
    assert (why["old"].cause, why["more"].cause) == (Cause.OPERATOR_SET, Cause.FUSED)
    assert why["unknown"].cause is why["left"].cause is Cause.LAYOUT
    assert "older than 13" in why["old"].text and "last of two axes" in why["left"].text


def test_a_planted_network_is_one_region():
    planted = planted_ffn.build(
        np.random.default_rng(0), d=8, hidden=16, blocks=2, activation="swiglu", leading=("batch", "sequence")
    )
    seen = looked_at(planted.model)
    region = region_of(seen.found.linears, seen.found.constants)
    assert len(region.linears) == 3 and {node.op_type for node in region.inner} == {"Sigmoid", "Mul"}
