import numpy as np
import onnx
import onnx_ir as ir
import oracles
import pytest
from reference import model, node

import scission
from scission.models.planted.recurrent import Cell, build_cell
from scission.runtime.inputs.inputs import UNNAMED
from scission.runtime.inputs.lengths import length_bounds

W, R = np.ones((1, 2, 3), np.float32), np.ones((1, 2, 2), np.float32)


def reader(shape, nodes=(), name="lengths", lengths=None, x="x"):
    """An RNN that reads its lengths from an input."""
    made = node("RNN", f"{x} w r b {name}", "y", hidden_size=2)
    inputs = {"x": shape, "lengths": lengths or (["batch"], np.int32)}
    return ir.from_proto(model([*nodes, made], inputs, ["y"], {"w": W, "r": R, "b": np.zeros((1, 4), np.float32)}))


def test_lengths_are_at_least_one_and_at_most_the_positions():
    sizes = {"s": 5, UNNAMED: 7}
    assert length_bounds(reader([9, "batch", 3]), sizes) == {"lengths": (1, 10)}
    assert length_bounds(reader(["s", "batch", 3]), sizes) == {"lengths": (1, 6)}
    assert length_bounds(reader([None, "batch", 3]), sizes) == {"lengths": (1, 8)}
    assert length_bounds(reader([None, "batch", 3]), {}) == {"lengths": (1, 2)}
    assert length_bounds(reader(None), sizes) == {"lengths": (1, 2)}


def test_lengths_are_followed_back_and_the_shortest_sequence_counts():
    cast = [node("Cast", "lengths", "short", to=6), node("RNN", "x w r", "z", hidden_size=2)]
    assert length_bounds(reader([9, "batch", 3], cast, "short"), {}) == {"lengths": (1, 10)}
    two = [node("RNN", "x2 w r  lengths".replace("  ", " b "), "z", hidden_size=2), node("Identity", "x", "x2")]
    assert length_bounds(reader([9, "batch", 3], two), {}) == {"lengths": (1, 2)}
    assert length_bounds(reader([9, "batch", 3], (), "b"), {}) == {}


@pytest.mark.parametrize("op", ["RNN", "GRU", "LSTM"])
def test_check_and_bench_feed_lengths_that_the_sequences_have(op):
    planted = build_cell(np.random.default_rng(0), Cell(op=op, lengths=True, direction="bidirectional"))
    changed = scission.apply(planted.model, scission.plan(planted.model, force=True, provider="cpu"))
    verdict = scission.check(planted.model, changed, trials=scission.Trials(provider="cpu"))
    assert verdict.equal and verdict.trials == 5
    assert scission.bench(planted.model, changed, batch=[4], trials=scission.Trials(provider="cpu", seconds=0.01))


def test_an_input_of_unknown_rank_is_taken_to_be_sequences():
    nodes = [("RNN", ["x", "w", "r"], ["y"], {"hidden_size": 2})]
    proto = oracles.graph(nodes, {"x": None}, {"y": None}, {"w": W, "r": R})
    assert scission.check(proto, proto, trials=scission.Trials(provider="cpu")).equal


def test_an_unnamed_dimension_of_what_is_computed_is_not_known():
    """The size of unnamed dimensions is that of inputs; half of them are left here."""
    steps = {"s": np.array([0]), "e": np.array([99]), "a": np.array([0]), "t": np.array([2])}
    half = [node("Slice", "x s e a t", "x2")]
    made = node("RNN", "x2 w r b lengths", "y", hidden_size=2)
    constants = {"w": W, "r": R, "b": np.zeros((1, 4), np.float32), **steps}
    proto = model([*half, made], {"x": [None, "batch", 3], "lengths": (["batch"], np.int32)}, ["y"], constants)
    proto.graph.value_info.append(onnx.helper.make_tensor_value_info("x2", 1, [None, "batch", 3]))
    assert length_bounds(ir.from_proto(proto), {UNNAMED: 7}) == {"lengths": (1, 2)}
