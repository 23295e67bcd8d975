import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from scission.ir.io.load import load
from scission.ir.parts.share import share_of
from scission.ir.reason import Cause, Reason
from scission.models.networks import subspaces
from scission.models.planted import ffn
from scission.models.planted.branches import Repeated, repeated
from scission.models.sketch import Sketch
from scission.passes.partition import find as module
from scission.passes.partition.find import find, merged


def found(model):
    return find(load(model).graph)


def places(share):
    return tuple(map(int, *share.places.values())) if share.places else ()


def test_the_blocks_of_a_planted_model_are_its_parts():
    planted = ffn.build(np.random.default_rng(0), d=12, hidden=24, blocks=3, activation="geglu")
    parts = found(planted.model)
    truth = planted.truth["up"].blocks
    assert {places(part.reads[0]) for part in parts} == {tuple(map(int, block.inputs)) for block in truth}
    assert {places(part.writes[0]) for part in parts} == {
        tuple(map(int, block.outputs)) for block in planted.truth["down"].blocks
    }
    assert {part.macs for part in parts} == {3 * 4 * 8}


def test_parts_may_read_the_same_inputs():
    model = subspaces.build(np.random.default_rng(0), networks=4, features=16, hidden=6, outputs=2).model
    parts = found(model)
    assert len(parts) == 4 and all(len(places(part.reads[0])) == 4 for part in parts)


@pytest.mark.parametrize("end", ["concat", "stack", "outputs"])
@pytest.mark.parametrize("source", ["shared", "slices", "places", "split"])
def test_branches_are_parts_without_each_other(source, end):
    parts = found(repeated(np.random.default_rng(0), Repeated(source=source, end=end)).model)
    assert len(parts) == 3 and len({part.macs for part in parts}) == 1
    assert [part.reads[0].is_whole for part in parts] == [source == "shared"] * 3


def dense():
    sketch = Sketch(np.random.default_rng(0))
    x = sketch.input("x", ["n", 4])
    sketch.output(sketch.op("MatMul", x, sketch.normal([4, 3])), shape=["n", 3], name="y")
    return sketch.model()


def changed(**more):
    model = ffn.build(np.random.default_rng(0), d=4, hidden=8, blocks=2).model
    graph = model.graph
    if "twice" in more:
        graph.output.append(graph.output[0])
    if "passed" in more:
        graph.output.append(graph.input[0])
    if "random" in more:
        graph.node.append(helper.make_node("RandomNormalLike", ["x"], ["r"]))
        graph.output.append(helper.make_tensor_value_info("r", 1, None))
    if "default" in more:
        graph.input.append(helper.make_tensor_value_info("U", 1, [4, 8]))
    return model


@pytest.mark.parametrize("what", ["twice", "passed", "random", "default"])
def test_some_models_are_left_alone_and_it_is_said_why(what):
    why = found(changed(**{what: True}))
    assert isinstance(why, Reason) and why.cause is Cause.UNSUPPORTED and str(why)


def test_nothing_is_independent_in_a_dense_model():
    why = found(dense())
    assert isinstance(why, Reason) and why.cause is Cause.CONNECTED


def test_an_axis_of_rows_is_not_what_a_model_is_cut_along():
    sketch = Sketch(np.random.default_rng(0))
    x = sketch.input("x", [3, 4])
    sketch.output(sketch.op("MatMul", x, sketch.normal([4, 3])), shape=[3, 3], name="y")
    assert isinstance(found(sketch.model()), Reason)


def test_the_model_stays_as_it_is():
    model = load(ffn.build(np.random.default_rng(0), d=4, hidden=8, blocks=2).model)
    before = ir.to_proto(model.graph).SerializeToString()
    find(model.graph)
    assert ir.to_proto(model.graph).SerializeToString() == before


def test_there_are_no_more_parts_than_services(monkeypatch):
    monkeypatch.setattr(module, "MOST", 6)
    sketch = Sketch(np.random.default_rng(0))
    count = 20
    x = sketch.input("x", ["n", count])
    W = np.zeros((count, count), np.float32)
    W[np.arange(count), np.random.default_rng(0).permutation(count)] = 1
    sketch.output(sketch.op("MatMul", x, W), shape=["n", count], name="y")
    parts = found(sketch.model())
    assert len(parts) == 6
    written = np.concatenate([part.writes[0].places[1] for part in parts])
    assert np.array_equal(np.sort(written), np.arange(count))


def test_shares_of_one_value_become_one():
    some = [share_of("y", {1: np.isin(np.arange(4), own)}) for own in ([0], [2, 3])]
    (one,) = merged(some)
    assert places(one) == (0, 2, 3) and one.size == {1: 4}
