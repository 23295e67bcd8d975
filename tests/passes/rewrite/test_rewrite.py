import dataclasses
import json

import numpy as np
import onnx
import onnx_ir as ir
import oracles
import pytest
from rewritten import origin, plan

import scission
from scission import Block, Plan, PlanError
from scission.ir.graph.linear import scopes
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.models.matrix import weight
from scission.models.planted.products import KINDS, build, feeds
from scission.passes.decompose.fingerprint import fingerprint
from scission.passes.rewrite.rewrite import rewrite

SIZES = ((4, 3), (2, 3), (3, 3))


def split(model):
    return scission.apply(model, plan(model))


@pytest.fixture(scope="module", params=KINDS)
def pair(request):
    planted = build(np.random.default_rng(7), request.param, dormant=(1, 2))
    return planted, split(planted.model)


def names_of_origins(model, inline=()):
    """What each node is called in a viewer, by its address: its name, or without one the value that it makes."""
    seen = view(load(model).graph, inline)
    called = {address: node.name for scope in scopes(seen.model) for node, address in scope.addresses.items()}
    results = {one.address: one.node.name or one.output.name for one in seen.found.linears}
    return {**called, **results}


# Laws.


def test_the_second_rewrite_changes_nothing(pair):
    _, changed = pair
    again = plan(changed)
    assert not again.rewrites and scission.apply(changed, again) is changed
    blocks = [step for step in again.steps if "already a block" in str(step.reason)]
    stacked = [skip for skip in again.skipped if "batched weight" in str(skip.reason) or "groups" in str(skip.reason)]
    assert blocks or stacked
    assert all(str(step.reason).startswith(("already a block", "one component")) for step in again.steps)


def test_the_interface_stays(pair):
    planted, changed = pair
    assert oracles.interface(changed) == oracles.interface(planted.model)
    assert changed.opset_import == planted.model.opset_import and changed.ir_version == planted.model.ir_version


def test_the_checker_is_as_content_as_before(pair):
    planted, changed = pair
    for full in (False, True):
        try:
            onnx.checker.check_model(planted.model, full_check=full)
        except onnx.checker.ValidationError:  # an input without a rank
            continue
        onnx.checker.check_model(changed, full_check=full)


def test_every_name_is_given_once(pair):
    planted, changed = pair
    assert max(oracles.node_names(changed).values()) == 1
    known = oracles.value_names(planted.model)
    assert {name for name, count in oracles.value_names(changed).items() if count > known.get(name, 1)} == set()


def test_new_nodes_say_where_they_come_from_and_old_ones_stay(pair):
    planted, changed = pair
    before = oracles.node_names(planted.model)
    origins = {step.node for step in plan(planted.model).rewrites}
    new = [node for node in oracles.every_node(changed) if node.name not in before]
    assert new and all(node.name for node in new if node.op_type != "Constant")
    assert {origin(node) for node in new if origin(node)} == origins
    called = names_of_origins(planted.model, plan(planted.model).inline)
    assert all(node.name.startswith(f"{called[origin(node)]}/") for node in new if origin(node))
    missing = [node for node in new if not origin(node)]
    inlined = {node.op_type for function in planted.model.functions for node in function.node}
    assert all(node.op_type == "Constant" or node.op_type in inlined or not node.name for node in missing)
    assert not any(origin(node) for node in oracles.every_node(changed) if node.name in before)


def test_nobody_is_left_behind(pair):
    """No initializer, and no node of the main graph, that nobody reads; the large weights themselves are gone."""
    planted, changed = pair
    read = {name for node in oracles.every_node(changed) for name in node.input}
    read |= {value.name for graph in oracles.every_graph(changed) for value in getattr(graph, "output", ()) if value}
    assert oracles.stored(changed) <= read
    assert all(set(node.output) & read for node in changed.graph.node)
    if "embedding" not in planted.model.graph.node[0].name:
        largest = max(K * N for K, N in (truth.shape for truth in planted.truth.values()))
        tied = {"table"} & oracles.stored(planted.model)  # the embedding table is looked up as well
        sizes = {t.name: np.prod(t.dims) for t in changed.graph.initializer}
        assert {name for name, size in sizes.items() if size >= largest} <= tied


@pytest.mark.parametrize("kind", KINDS)
def test_names_that_are_taken_already_are_left_to_their_owners(kind):
    """The model has, in its main graph, a node and a value of every name that the rewrite would choose."""
    planted = build(np.random.default_rng(7), kind, dormant=(1, 2))
    wished = oracles.node_names(split(planted.model)) | oracles.value_names(split(planted.model))
    mine = oracles.node_names(planted.model) | oracles.value_names(planted.model)
    crowded = onnx.ModelProto.FromString(planted.model.SerializeToString())
    for name in sorted(set(wished) - set(mine)):
        crowded.graph.node.append(
            onnx.helper.make_node("Identity", [planted.model.graph.input[0].name], [name], name=name)
        )
    changed = split(crowded)
    assert max(oracles.node_names(changed).values()) == 1
    known = oracles.value_names(crowded)
    assert {n: c for n, c in oracles.value_names(changed).items() if c > known.get(n, 1)} == {}
    optimised = "dequantize" not in kind
    data = feeds(np.random.default_rng(0), planted)
    before, after = (oracles.run(model, data, optimised=optimised) for model in (planted.model, changed))
    oracles.assert_close(before, after)


def test_names_inside_subgraphs_are_taken_too():
    planted = build(np.random.default_rng(7), "loop")
    wished = set(oracles.value_names(split(planted.model))) - set(oracles.value_names(planted.model))
    (loop,) = [node for node in planted.model.graph.node if node.op_type == "Loop"]
    body = loop.attribute[0].g
    for name in sorted(wished):
        body.node.append(onnx.helper.make_node("Identity", [body.input[2].name], [name], name=name))
    changed = split(planted.model)
    assert set(oracles.value_names(changed).values()) == {1}
    data = feeds(np.random.default_rng(0), planted)
    oracles.assert_close(oracles.run(planted.model, data), oracles.run(changed, data))


# What goes and what stays.


def two_readers(other):
    W, _ = weight(np.random.default_rng(0), SIZES)
    nodes = [("MatMul", ["x", "W"], ["y"]), other]
    return oracles.graph(nodes, {"x": ["m", 9]}, {"y": ["m", 9], "z": None}, {"W": W})


@pytest.mark.parametrize(
    ("other", "stays"),
    [
        (("MatMul", ["x", "W"], ["z"]), False),  # split as well
        (("Gemm", ["x", "W"], ["z"], {"transB": 1}), False),
        (("Relu", ["W"], ["z"]), True),
        (("Mul", ["x", "W"], ["z"]), True),
        (("MatMul", ["W", "W"], ["z"]), True),
    ],
)
def test_a_weight_goes_with_its_last_reader(other, stays):
    model = two_readers(other)
    changed = split(model)
    assert ("W" in oracles.stored(changed)) is stays
    data = {"x": np.ones((9, 9), np.float32)}
    oracles.assert_close(oracles.run(model, data), oracles.run(changed, data))


def test_a_weight_used_in_one_branch_that_stays_dense_is_kept():
    planted = build(np.random.default_rng(0), "if")
    chosen = plan(planted.model)
    first = dataclasses.replace(chosen.steps[0], lowering="dense")
    changed = scission.apply(planted.model, dataclasses.replace(chosen, steps=(first, *chosen.steps[1:])))
    assert "W" in oracles.stored(changed) and "W" not in oracles.stored(scission.apply(planted.model, chosen))
    for condition in (True, False):
        data = feeds(np.random.default_rng(0), planted) | {"condition": np.array(condition)}
        oracles.assert_close(oracles.run(planted.model, data), oracles.run(changed, data))


@pytest.mark.parametrize("contiguous", [False, True])
def test_before_ir_version_4_every_initializer_is_an_input_that_no_caller_can_set(contiguous):
    planted = build(np.random.default_rng(0), "opset-7", contiguous=contiguous)
    model = planted.model
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    changed = split(model)
    assert {value.name for value in changed.graph.input} == {"x"} | oracles.stored(changed)
    assert changed.graph.input[0].name == "x" and "W" not in oracles.stored(changed)
    onnx.checker.check_model(changed, full_check=True)
    assert scission.check(model, changed).equal
    data = feeds(np.random.default_rng(0), build(np.random.default_rng(0), "opset-7"))
    oracles.assert_close(oracles.run(model, data), oracles.run(changed, data))


def test_an_initializer_that_callers_may_override_stays_in_the_interface():
    """Gemm with beta = 0 ignores C; that nobody reads it any more is no reason to change the inputs."""
    W, _ = weight(np.random.default_rng(0), SIZES)
    nodes = [("Gemm", ["x", "W", "C"], ["y"], {"beta": 0.0})]
    model = oracles.graph(nodes, {"x": ["m", 9], "C": [9]}, {"y": ["m", 9]}, {"W": W, "C": W[0]})
    assert oracles.interface(split(model)) == oracles.interface(model)
    assert "C" in oracles.stored(split(model))


def test_a_linear_inside_a_function_stays_there():
    """Functions have no initializers, so that block weights become Constant nodes."""
    W, _ = weight(np.random.default_rng(0), SIZES)
    stored = onnx.helper.make_node("Constant", [], ["W"], value=onnx.numpy_helper.from_array(W))
    body = [stored, onnx.helper.make_node("MatMul", ["x", "W"], ["y"])]
    function = onnx.helper.make_function("local", "F", ["x"], ["y"], body, [onnx.helper.make_opsetid("", 17)])
    nodes = [("F", ["x"], ["h"], {"domain": "local"}), ("F", ["h"], ["y"], {"domain": "local"})]
    model = oracles.graph(nodes, {"x": ["m", 9]}, {"y": ["m", 9]}, {"unused": W[:1, :1]})
    model.functions.append(function)
    model.opset_import.append(onnx.helper.make_opsetid("local", 1))
    changed = split(model)
    assert len(changed.functions) == 1 and len(plan(model).rewrites) == 1
    shapes = [tuple(a.t.dims) for n in changed.functions[0].node if n.op_type == "Constant" for a in n.attribute]
    assert (9, 9) not in shapes and len(changed.graph.initializer) == 1
    assert all(origin(node) == "local::F/MatMul#1" and node.name.startswith("y/") for node in changed.functions[0].node)
    onnx.checker.check_model(changed)
    data = {"x": np.ones((2, 9), np.float32)}
    oracles.assert_close(oracles.run(model, data), oracles.run(changed, data))


@pytest.mark.parametrize("kind", ["shared-transposed", "chain", "if", "loop", "function", "through-long", "conv-2d"])
@pytest.mark.parametrize("contiguous", [False, True])
def test_the_rewritten_graph_holds_together_in_memory(kind, contiguous):
    """Every value is made by a node that is in the graph, not only by one of the same name."""
    graph = ir.from_proto(build(np.random.default_rng(0), kind, contiguous=contiguous).model)
    before = ir.to_proto(graph).SerializeToString()
    changed = rewrite(graph, plan(graph))
    assert ir.to_proto(graph).SerializeToString() == before
    nodes = set(changed.graph.all_nodes())
    for node in nodes:
        for value in filter(None, node.inputs):
            assert value.producer() in nodes or value.is_initializer() or value.is_graph_input()
            assert any(use.node is node for use in value.uses())
    assert ir.to_proto(changed) == ir.to_proto(ir.from_proto(ir.to_proto(changed)))


def test_the_change_is_on_record():
    changed = split(build(np.random.default_rng(0), "chain").model)
    assert {p.key: p.value for p in changed.metadata_props}["scission"] == "3 operators split"


def test_fingerprints_know_shape_type_and_every_bit():
    W = np.arange(6, dtype=np.float32).reshape(2, 3)
    others = [W.T, W.reshape(3, 2), W.astype(np.float64), W.view(np.int32), W + 1e-7, -W]
    assert len({fingerprint(V) for V in [W, *others]}) == 7
    assert fingerprint(np.asfortranarray(W)) == fingerprint(W) == fingerprint(W.copy())
    assert fingerprint(np.array([[0.0]])) != fingerprint(np.array([[-0.0]]))


# Plans edited by hand.


def base():
    W, truth = weight(np.random.default_rng(0), SIZES, dormant=(1, 1))
    model = oracles.graph([("MatMul", ["x", "W"], ["y"])], {"x": ["m", 10]}, {"y": ["m", 10]}, {"W": W})
    return model, truth, plan(model)


def in_json(chosen, edit):
    data = json.loads(chosen.dumps())
    edit(data["steps"][0], data)
    return Plan.loads(json.dumps(data))


def without_an_input(step):
    first, *others = step.decomposition.blocks
    return [Block(first.inputs[1:], first.outputs), *others]


def without_an_output(step):
    first, *others = step.decomposition.blocks
    return [Block(first.inputs, first.outputs[1:]), *others]


TRUE_BLOCKS = base()[1].blocks
BROKEN = {
    "another sha": ({"sha256": "0" * 64}, "not the one the plan was made for"),
    "another node": ({"node": "nope"}, "no such linear"),
    "no blocks": ({"blocks": lambda _: ()}, "no blocks to split into"),
    "an input less": ({"blocks": without_an_input}, "reads an input outside its block"),
    "an output less": ({"blocks": without_an_output}, "reads an input outside its block"),
    "a block less": ({"blocks": lambda s: s.decomposition.blocks[1:]}, "reads an input outside its block"),
    "split that is scattered": ({"lowering": "split", "blocks": lambda _: TRUE_BLOCKS}, "follow one another"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_plan_that_does_not_fit_is_refused_and_nothing_written(name, tmp_path):
    changes, message = BROKEN[name]
    model, _, chosen = base()
    broken = oracles.edited(oracles.edited(chosen, "scatter", lambda _: TRUE_BLOCKS), **changes)
    onnx.save(model, tmp_path / "in.onnx")
    with pytest.raises(PlanError, match=message):
        scission.apply(tmp_path / "in.onnx", broken, tmp_path / "out.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["in.onnx"]
    with pytest.raises(PlanError, match=message):
        scission.apply(model, broken)


MALFORMED = {
    "overlapping outputs": lambda step, _: step["blocks"].append(dict(step["blocks"][0])),
    "index outside": lambda step, _: step["blocks"][0].update(inputs="0-99"),
    "unsorted": lambda step, _: step["blocks"][0].update(inputs="3,1"),
    "no indices": lambda step, _: step["blocks"][0].update(outputs=""),
    "words for indices": lambda step, _: step["blocks"][0].update(outputs="all"),
    "unknown lowering": lambda step, _: step.update(lowering="magic"),
    "no sha": lambda step, _: step.update(sha256=None),
    "no shape": lambda step, _: step.pop("shape"),
    "a list for a name": lambda step, _: step.update(node=[]),
    "words for a gain": lambda step, _: step.update(gain="much"),
    "half a feature": lambda step, _: step.update(shape=[step["shape"][0] + 0.5, step["shape"][1]]),
    "true for a version": lambda _, data: data.update(version=True),
    "an infinite count": lambda _, data: data.update(parameters=float("inf")),
    "an unknown field": lambda step, _: step.update(colour="red"),
    "another version": lambda _, data: data.update(version=99),
    "no steps": lambda _, data: data.pop("steps"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_plan_does_not_load(name):
    with pytest.raises(PlanError):
        in_json(base()[2], MALFORMED[name])


def test_another_shape_is_refused():
    model, _, chosen = base()
    with pytest.raises(PlanError, match="not the one"):
        scission.apply(
            model, in_json(chosen, lambda s, _: s.update(shape=[10, 11], blocks=[{"inputs": "0-9", "outputs": "0-9"}]))
        )


def test_a_step_that_stands_twice_is_refused():
    model, _, chosen = base()
    with pytest.raises(PlanError, match="twice"):
        scission.apply(model, dataclasses.replace(chosen, steps=chosen.steps * 2))


def test_a_function_that_is_not_there_is_refused():
    model, _, chosen = base()
    with pytest.raises(PlanError, match="no local function local::F"):
        scission.apply(model, dataclasses.replace(chosen, inline=(("local", "F", ""),)))


def test_edits_that_are_right_are_carried_out():
    model, truth, chosen = base()
    data = {"x": np.random.default_rng(0).standard_normal((3, 10)).astype(np.float32)}
    edits = {
        "merged": [oracles.whole(10, 10)],
        "larger": [Block(range(10), truth.blocks[0].outputs), *truth.blocks[1:]],
        "another order": truth.blocks[::-1],
    }
    for name, blocks in edits.items():
        changed = scission.apply(model, oracles.edited(chosen, "scatter", lambda _, blocks=blocks: blocks))
        oracles.assert_close(oracles.run(model, data), oracles.run(changed, data))
        assert changed is not model, name
    assert scission.apply(model, oracles.edited(chosen, "dense")) is model
