import numpy as np
import onnx
import pytest
from onnx import helper as h
from onnx import numpy_helper as nh
from random_parts import difference, put_together, random_feed, random_parts, run_model

import scission
from scission.ir.io.load import load
from scission.ir.io.serial import to_proto
from scission.ir.parts.share import share_of, whole
from scission.ir.provenance import PART
from scission.models.planted import ffn
from scission.models.planted.branches import Repeated, repeated
from scission.passes.partition.find import analysed
from scission.passes.partition.narrowing import narrow
from scission.passes.rewrite.parts.narrowed import narrowed


@pytest.mark.parametrize("seed", range(24))
def test_parts_put_together_compute_what_the_model_does(seed):
    model, count = random_parts(seed)
    feed = random_feed(np.random.default_rng(seed), model)
    for optimize in (False, True):
        found, made = put_together(model, feed, optimize)
        if made:
            assert difference(run_model(model, feed, optimize), made) < 1e-4
            assert len(found) <= 3 * count


def test_most_random_networks_fall_apart_into_what_they_were_made_of():
    from scission.passes.partition.find import find

    models = [random_parts(seed) for seed in range(8)]
    found = [find(load(model).graph) for model, _ in models]
    assert sum(isinstance(one, tuple) and len(one) >= count for one, (_, count) in zip(found, models, strict=True)) >= 7


def part(model, wanted):
    source = load(model)
    whole = analysed(source.graph)
    return to_proto(source, narrowed(whole, narrow(whole.relations, whole.seen.model.graph, wanted), "part7"))


def test_a_part_is_the_model_made_narrower():
    planted = ffn.build(np.random.default_rng(0), d=12, hidden=24, blocks=3)
    block = planted.truth["down"].blocks[0]
    made = part(planted.model, [share_of("y", {1: np.isin(np.arange(12), block.outputs)})])
    onnx.checker.check_model(made, full_check=True)
    assert [node.name for node in made.graph.node] == [node.name for node in planted.model.graph.node]
    shapes = sorted(tuple(tensor.dims) for tensor in made.graph.initializer if len(tensor.dims) == 2)
    assert shapes == [(4, 8), (8, 4)]
    assert {entry.key: entry.value for entry in made.metadata_props}[PART] == "part7"
    assert [dim.dim_value for dim in made.graph.input[0].type.tensor_type.shape.dim][1] == 4


@pytest.mark.parametrize("source", ["slices", "split", "gathers"])
def test_branches_that_are_not_wanted_are_not_there(source):
    model = repeated(np.random.default_rng(0), Repeated(source=source, lanes=4)).model
    made = part(model, [share_of(model.graph.output[0].name, {1: np.isin(np.arange(12), [3, 4, 5])})])
    assert sum(node.op_type == "MatMul" for node in made.graph.node) == 2
    assert len(made.graph.node) < len(model.graph.node) / 2


def test_all_of_a_model_is_a_part_of_it():
    model = ffn.build(np.random.default_rng(0), d=12, hidden=24, blocks=1).model
    feed = random_feed(np.random.default_rng(0), model)
    made = part(model, [whole("y")])
    assert difference(run_model(model, feed), run_model(made, feed)) == 0


def test_places_that_are_needed_inside_and_not_wanted_are_left_out_at_the_end():
    """The output in the middle of a chain of which all is needed further on."""
    from scission.models.sketch import Sketch

    sketch = Sketch(np.random.default_rng(0))
    x = sketch.input("x", ["n", 3])
    h = sketch.op("Relu", sketch.op("MatMul", x, sketch.normal([3, 4])))
    y = sketch.op("MatMul", h, sketch.normal([4, 2]))
    sketch.output(h, shape=["n", 4], name="h")
    sketch.output(y, shape=["n", 2], name="y")
    model = sketch.model()
    feed = random_feed(np.random.default_rng(0), model)
    made = part(model, [share_of("h", {1: np.array([False, True, False, True])}), whole("y")])
    expected, got = run_model(model, feed), run_model(made, feed)
    assert np.allclose(got["h"], expected["h"][:, [1, 3]]) and np.allclose(got["y"], expected["y"])


def test_a_branch_goes_with_what_it_reads_from_outside():
    """A part without the If has neither its branches nor the node before it that they read."""
    rng = np.random.default_rng(0)
    weight = np.kron(np.eye(2), np.ones((4, 4))).astype(np.float32) * rng.standard_normal((8, 8)).astype(np.float32)
    inside = [
        h.make_graph([h.make_node(op, ["t"], [op])], op, [], [h.make_tensor_value_info(op, 1, None)])
        for op in ("Relu", "Neg")
    ]
    nodes = [
        h.make_node("MatMul", ["x", "W"], ["y"]),
        h.make_node("Abs", ["u"], ["t"]),
        h.make_node("If", ["c"], ["z"], then_branch=inside[0], else_branch=inside[1]),
    ]
    inputs = [h.make_tensor_value_info(name, 1, ["n", 8]) for name in "xu"] + [h.make_tensor_value_info("c", 9, [])]
    outputs = [h.make_tensor_value_info("y", 1, ["n", 8]), h.make_tensor_value_info("z", 1, None)]
    graph = h.make_graph(nodes, "g", inputs, outputs, [nh.from_array(weight, "W")])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    assert [node.op_type for node in part(model, [whole("y")]).graph.node] == ["MatMul"]
    assert [node.op_type for node in part(model, [whole("z")]).graph.node] == ["Abs", "If"]


@pytest.mark.parametrize("source", ["slices", "split", "gathers"])
def test_a_split_into_one_and_a_concat_of_one_are_not_there(source):
    """They copy: in a small part that takes as long as the rest."""
    model = repeated(np.random.default_rng(0), Repeated(source=source, lanes=4)).model
    places = np.isin(np.arange(12), [3, 4, 5])
    made = part(model, [share_of(model.graph.output[0].name, {1: places})])
    onnx.checker.check_model(made, full_check=True)
    assert not {"Split", "Concat"} & {node.op_type for node in made.graph.node}
    (output,) = made.graph.output
    assert output.name == model.graph.output[0].name and output.type.tensor_type.shape.dim[1].dim_value == 3


@pytest.mark.parametrize("ends", [["y"], ["y", "between"]])
def test_values_that_are_copied_keep_the_names_of_inputs_and_outputs(ends):
    """x is split, and the other half only joined with it again: an input is no output, nor an output another one."""
    nodes = [
        h.make_node("Split", ["x", "sizes"], ["left", "right"], axis=1),
        h.make_node("Relu", ["left"], ["between"]),
        h.make_node("Neg", ["right"], ["negated"]),
        h.make_node("Concat", ["between", "negated"], ["y"], axis=1),
        h.make_node("Concat", ["left", "right"], ["z"], axis=1),
    ]
    values = [h.make_tensor_value_info(name, 1, ["n", 6]) for name in "xyz"]
    between = h.make_tensor_value_info("between", 1, ["n", 2])
    graph = h.make_graph(nodes, "g", values[:1], [*values[1:], between], [nh.from_array(np.array([2, 4]), "sizes")])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=9)
    left = np.arange(6) < 2
    wanted = [share_of("y", {1: left}), share_of("z", {1: left}), *([whole("between")] if len(ends) > 1 else [])]
    made = part(model, wanted)
    onnx.checker.check_model(made, full_check=True)
    assert [value.name for value in made.graph.output] == ["y", "z", *ends[1:]]
    x = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)
    found = run_model(made, {"x": x[:, :2]})
    assert np.array_equal(found["z"], x[:, :2]) and np.array_equal(found["y"], np.maximum(x[:, :2], 0))


@pytest.mark.parametrize("sizes", [True, False])
def test_results_of_a_split_that_are_outputs_are_cut(sizes, tmp_path):
    rng = np.random.default_rng(0)
    tensors = [nh.from_array(rng.standard_normal((4, 4)).astype(np.float32), f"w{at}") for at in range(2)]
    tensors += [nh.from_array(np.array([4, 4]), "sizes")] if sizes else []
    operands = ["sizes"] if sizes else []
    nodes = [
        h.make_node("Split", ["x", *operands], ["x0", "x1"], axis=1),
        *(h.make_node("MatMul", [f"x{at}", f"w{at}"], [f"h{at}"]) for at in range(2)),
        h.make_node("Concat", ["h0", "h1"], ["h"], axis=1),
        h.make_node("Split", ["h", *operands], ["y0", "y1"], axis=1),
        h.make_node("Neg", ["y0"], ["z0"]),
        h.make_node("Neg", ["y1"], ["z1"]),
    ]
    outputs = [h.make_tensor_value_info(name, 1, ["n", 4]) for name in ("y0", "y1", "z0", "z1")]
    graph = h.make_graph(nodes, "lanes", [h.make_tensor_value_info("x", 1, ["n", 8])], outputs, tensors)
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    trials = scission.Trials(provider="cpu", threads=1)
    found = scission.partition(tmp_path / "m.onnx", tmp_path / "parts", trials=trials)
    assert len(found.manifest.parts) == 2
    for part in found.manifest.parts:
        made = onnx.load(tmp_path / "parts" / part.model)
        read = {name for node in made.graph.node for name in node.input}
        assert {tensor.name for tensor in made.graph.initializer} <= read
