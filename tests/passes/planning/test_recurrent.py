"""Plans of recurrent operators: those that are edited by hand, and what is left alone and why."""

import dataclasses
import re

import numpy as np
import onnx
import oracles
import pytest
from onnx import helper, numpy_helper
from planned_cells import OPERATORS, SEED, assert_same, plan, rewritten, unmerged
from reference import function, graph, model, node
from told import sentences

import scission
from scission.ir.graph import recurrent
from scission.ir.graph.recurrent import GATES
from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.ir.plan.plan import Block
from scission.models.planted.recurrent import Cell, build_cell

# Plans edited by hand.


@pytest.fixture
def pair():
    planted = build_cell(np.random.default_rng(SEED), Cell(sizes=((2, 3), (2, 3)), contiguous=True))
    return planted, unmerged(plan(planted.model), planted)


WRONG = {
    "separated by R": (
        [([0, 1, 4, 5], [0, 1]), ([2, 3, 6, 7, 8, 9], [2, 3, 4, 5])],
        "reads an input outside its block",
    ),
    "separated by W": (
        [([0, 2, 4, 5, 6], [0, 1, 2]), ([1, 3, 7, 8, 9], [3, 4, 5])],
        "reads an input outside its block",
    ),
    "other states": ([([0, 1, 4, 5, 7], [0, 1, 2]), ([2, 3, 6, 8, 9], [3, 4, 5])], "reads other states"),
    "no states": ([([0, 1], [0, 1, 2]), ([2, 3, 7, 8, 9], [3, 4, 5])], "reads other states"),
    "more states": ([([0, 1, 4, 5, 6, 7], [0, 1, 2]), ([2, 3, 7, 8, 9], [3, 4, 5])], "reads other states"),
    "lost unit": ([([0, 1, 4, 5, 6], [0, 1, 2]), ([2, 3, 7, 8], [3, 4])], "hidden unit 5 belongs to no block"),
    "no block": ([], "hidden unit 0 belongs to no block"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_plan_that_loses_something_is_refused(pair, name):
    planted, chosen = pair
    blocks, reason = WRONG[name]
    bad = oracles.edited(chosen, "cells", lambda _: [Block(i, o) for i, o in blocks])
    bad = scission.Plan.loads(bad.dumps())
    with pytest.raises(scission.PlanError, match=reason):
        scission.apply(planted.model, bad)


def test_other_plans_are_refused(pair):
    planted, chosen = pair
    (step,) = chosen.steps
    refused = {
        "the weights are not those": dataclasses.replace(step, sha256="0" * 64),
        "no such recurrent operator": dataclasses.replace(step, node="elsewhere"),
        "no such linear": dataclasses.replace(step, lowering="scatter"),
    }
    for reason, bad in refused.items():
        with pytest.raises(scission.PlanError, match=reason):
            scission.apply(planted.model, dataclasses.replace(chosen, steps=(bad,)))
    with pytest.raises(scission.PlanError, match="twice"):
        scission.apply(planted.model, dataclasses.replace(chosen, steps=(step, step)))
    linear = oracles.graph([("MatMul", ["x", "W"], ["y"])], {"x": ["m", 4]}, {"y": None}, {"W": np.eye(4)})
    with pytest.raises(scission.PlanError, match="no such recurrent operator"):
        scission.apply(linear, oracles.edited(plan(linear), "cells"))


def test_the_other_direction_is_another_weight():
    cell = Cell(direction="bidirectional")
    planted = build_cell(np.random.default_rng(SEED), cell)
    forward, reverse = plan(planted.model).steps
    assert forward.sha256 != reverse.sha256
    swapped = [dataclasses.replace(step, node=other.node) for step, other in ((forward, reverse), (reverse, forward))]
    with pytest.raises(scission.PlanError, match="the weights are not those"):
        scission.apply(planted.model, dataclasses.replace(plan(planted.model), steps=tuple(swapped)))


@pytest.mark.parametrize(
    "text", ['{"components": 1}', "[]", '{"components": "a", "sccs": 1, "layers": 1, "giant": 1}', "3"]
)
def test_broken_states_in_a_plan_are_refused(pair, text):
    _, chosen = pair
    dumped = re.sub(r'"states": {[^}]*}', f'"states": {text}', chosen.dumps())
    with pytest.raises(scission.PlanError, match=r"steps\[0\]"):
        scission.Plan.loads(dumped)


# What is left alone, and why.

W, R = np.ones((1, 8, 2), np.float32), np.ones((1, 8, 2), np.float32)
B, P = np.ones((1, 16), np.float32), np.ones((1, 6), np.float32)


def lstm(
    names="x w r", weights=None, inputs=("x",), outputs="y", nodes=(), op="LSTM", opset=17, extra=(), **attributes
):
    made = node(op, names, outputs, "n", **attributes)
    return model(
        [*nodes, made],
        inputs,
        [*outputs.split(), *extra],
        {"w": W, "r": R} if weights is None else weights,
        opset=opset,
    )


def shadowing():
    branch = graph([node("LSTM", "x w r", "z", "n", hidden_size=2)], (), ["z"], {"w": W})
    other = graph([node("Identity", "x", "z")], (), ["z"])
    return model([node("If", "c", "y", "if", then_branch=branch, else_branch=other)],
                 {"x": [2, 4, 2], "c": ([], np.bool_)}, ["y"], {"w": 2 * W, "r": R})  # fmt: skip


def quantised():
    dequantise = node("DequantizeLinear", "q s", "d"), node("Identity", "d", "w")
    return lstm(nodes=dequantise, weights={"q": W.astype(np.int8), "s": np.float32(0.5), "r": R})


def referring():
    made = node("LSTM", "x w r", "y", "n")
    made.attribute.append(onnx.AttributeProto(name="clip", type=onnx.AttributeProto.FLOAT, ref_attr_name="limit"))
    held = [node("Constant", "", name, value=numpy_helper.from_array(a)) for name, a in (("w", W), ("r", R))]
    body = function("F", "x", "y", [*held, made], attributes=["limit"])
    return model([node("F", "x", "y", "call", "local", limit=1.0)], ["x"], ["y"], functions=[body])


def shadowed_bias():
    """ONNX Runtime's LSTM takes the bias of the main graph, an operator that gathers from it would take the other."""
    branch = graph([node("LSTM", "x w r b", "z", "n")], (), ["z"], {"b": 3 * B})
    other = graph([node("Identity", "x", "z")], (), ["z"])
    return model([node("If", "c", "y", "if", then_branch=branch, else_branch=other)],
                 {"x": [2, 4, 2], "c": ([], np.bool_)}, ["y"], {"w": W, "r": R, "b": B})  # fmt: skip


OTHER = {"activations": ["Tanh", "LeakyRelu"], "activation_alpha": [0.5, 0.2], "direction": "bidirectional"}
LEFT_ALONE = {
    "dynamic W": (lstm(weights={"r": R}, inputs=["x", "w"]), "its recurrent weights are not all constant"),
    "dynamic both": (lstm("x w r b", {"b": B}, ["x", "w", "r"]), "its recurrent weights are not all constant"),
    "overridable": (lstm(inputs=["x", "r"]), "weight is an initializer that callers may override"),
    "output too": (lstm(extra=["w"]), "weight is also an output of the graph"),
    "integers": (lstm(weights={"w": W.astype(np.int32), "r": R}), "weight of type int32"),
    "bfloat16": (lstm(weights={"w": W.astype("bfloat16"), "r": R.astype("bfloat16")}), "of type bfloat16 and bfloat16"),
    "two types": (lstm(weights={"w": W.astype(np.float64), "r": R}), "of type double and float"),
    "empty": (lstm(weights={"w": W[:, :, :0], "r": R}), "weight is empty"),
    "layout": (lstm(layout=1), "layout 1"),
    "old": (lstm(opset=6), "operator set 6 is older than 7"),
    "other size": (lstm(hidden_size=3), "do not fit its attributes"),
    "flat": (lstm(weights={"w": W[0], "r": R}), "do not fit its attributes"),
    "one direction for two": (lstm(direction="bidirectional"), "do not fit its attributes"),
    "unknown direction": (lstm(direction="sideways"), "do not fit its attributes"),
    "short bias": (lstm("x w r b", {"w": W, "r": R, "b": B[:, 1:]}), "operand 3 has shape"),
    "short peepholes": (lstm("x w r     p".replace("     ", " e e e e "), {"w": W, "r": R, "p": P[:, 1:]}, ["x", "e"]),
                        "operand 7 has shape"),
    "short state": (lstm("x w r  e h".replace("  ", " e "), {"w": W, "r": R, "h": np.ones((1, 2, 1), np.float32)},
                         ["x", "e"]), "operand 5 has shape"),
    "flat state": (lstm("x w r  e h".replace("  ", " e "), {"w": W, "r": R, "h": np.ones(2, np.float32)}, ["x", "e"]),
                   "operand 5 has shape"),
    "shadowed bias": (shadowed_bias(), "operand 3 shares a name with a value in or outside a branch"),
    "activations": (lstm(activations=["Tanh"]), "1 activation functions, which do not fit"),
    "parameters": (lstm(op="RNN", weights={"w": np.ones((2, 3, 2), np.float32), "r": np.ones((2, 3, 3), np.float32)},
                        **OTHER), "activation_alpha of its reverse direction is ambiguous"),
    "unread": (model([node("LSTM", "x w r", "z", "n"), node("Neg", "x", "y")], ["x"], ["y"], {"w": W, "r": R}),
               "nobody reads its outputs"),
    "quantised": (quantised(), "quantised recurrent weights"),
    "shadowing": (shadowing(), "shares a name with a value in or outside a branch"),
    "attribute of the caller": (referring(), "an attribute depends on the caller of the function"),
    "unfoldable": (lstm(nodes=[node("NoSuch", "v", "w")], weights={"v": W, "r": R}), "the weight cannot be folded"),
}  # fmt: skip


def found_in(proto):
    return survey(load(proto).graph)


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_is_left_alone_is_listed_with_the_reason(name):
    proto, reason = LEFT_ALONE[name]
    found = found_in(proto)
    assert found.recurrents == ()
    (skipped,) = [skipped for skipped in found.skipped if skipped.node.endswith("n")]
    assert re.search(reason, skipped.reason.text)


def test_every_reason_of_the_source_is_reached_by_a_model_here():
    given_here = [skip.reason.text for proto, _ in LEFT_ALONE.values() for skip in found_in(proto).skipped]
    told = sentences(recurrent)
    assert len(told) >= 9
    assert [text for text in told if not any(re.search(text, reason) for reason in given_here)] == []


def test_an_operator_without_constants_is_not_mentioned():
    for proto in (lstm(weights={}, inputs=["x", "w", "r"]), lstm("k w r", {"k": W, "w": W, "r": R}, ())):
        found = found_in(proto)
        assert (found.recurrents, found.skipped) == ((), ())


def test_two_activation_functions_of_a_single_direction_are_kept():
    """ONNX lists two by default, of which ONNX Runtime takes the first."""
    cell = Cell(op="RNN", attributes={"activations": ["Relu", "Tanh"]})
    planted = build_cell(np.random.default_rng(SEED), cell)
    _, changed = rewritten(planted)
    assert_same(planted, changed)


def test_an_address_that_is_taken_is_avoided():
    planted = build_cell(np.random.default_rng(SEED), Cell(direction="bidirectional"))
    planted.model.graph.node.append(helper.make_node("Neg", ["X"], ["neg"], "cell[forward]"))
    chosen = plan(planted.model)
    assert [step.node for step in chosen.steps] == ["cell[forward]'", "cell[reverse]"]
    assert_same(planted, scission.apply(planted.model, chosen))


def test_a_stale_shape_is_told_and_stops_nothing():
    nodes = [node("Pad", "a p", "w"), node("LSTM", "x w r", "y", "n", hidden_size=R.shape[2])]
    weights = {"a": np.pad(W, ((0, 0), (1, 1), (1, 1))), "p": np.array([0, -1, -1] * 2), "r": R}
    made = plan(model(nodes, {"x": [3, 2, 2]}, ["y"], weights))
    assert not made.steps and "cannot be" in made.skipped[-1].reason.text


@pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")  # torch about itself
@pytest.mark.parametrize("op", ["LSTM", "GRU"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_two_networks_exported_by_torch(op, bidirectional, tmp_path):
    """Two trained-alike networks in one module, their weights block diagonal and their features interleaved."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    make = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}[op]
    small = [make(4, 6, num_layers=2, bidirectional=bidirectional) for _ in range(2)]
    whole = make(8, 12, num_layers=2, bidirectional=bidirectional)
    with torch.no_grad():
        for name, target in whole.named_parameters():
            target.zero_()
            gates = GATES[op]
            for index, part in enumerate(small):
                source = dict(part.named_parameters())[name]
                rows = target.view(gates, 2, 6, *target.shape[1:])[:, index]
                if target.dim() == 1:
                    rows.copy_(source.view(gates, 6))
                elif name.startswith("weight_ih_l0"):
                    rows[..., index::2].copy_(source.view(gates, 6, -1))
                else:
                    width = target.shape[1] // 12
                    columns = rows.view(gates, 6, width, 2, 6)[:, :, :, index]
                    columns.copy_(source.view(gates, 6, width, 6))
    path = tmp_path / "net.onnx"
    program = torch.onnx.export(whole.eval(), (torch.randn(5, 3, 8),), dynamo=True, verbose=False)
    program.save(str(path))
    proto = onnx.load(path)
    ways = 2 if bidirectional else 1
    chosen = plan(proto)
    assert [step.components for step in chosen.rewrites if step.op == op] == [2] * 2 * ways
    changed = scission.apply(proto, chosen)
    assert scission.check(proto, changed).equal
    assert oracles.operators(changed)[op] == 4 * ways


def test_a_function_that_holds_its_own_weights():
    """Bodies of functions have no initializers: the weights of blocks become Constant nodes there."""
    planted = build_cell(np.random.default_rng(SEED), Cell(op="GRU", bias=None))
    held = [node("Constant", "", tensor.name, value=tensor) for tensor in planted.model.graph.initializer]
    body = function("F", "X", "Y Y_h", [*held, *planted.model.graph.node])
    calls = [node("F", "X", "Y Y_h", "one", "local"), node("F", "X", "Z Z_h", "two", "local")]
    inputs, outputs = (
        {value.name: None for value in side} for side in (planted.model.graph.input, planted.model.graph.output)
    )
    proto = model(calls, {"X": ["positions", "batch", 6]}, [*outputs, "Z"], functions=[body])
    assert list(inputs) == ["X"]
    chosen = plan(proto)
    assert [step.node for step in chosen.rewrites] == ["local::F/cell"] and not chosen.inline
    changed = scission.apply(proto, chosen)
    assert oracles.operators(changed)["GRU"] == len(chosen.rewrites[0].decomposition.blocks) > 1
    data = {"X": np.random.default_rng(0).standard_normal((4, 2, 6)).astype(np.float32)}
    oracles.assert_close(oracles.run(proto, data), oracles.run(changed, data))


def test_initializers_that_are_inputs_as_well():
    """Before IR version 4 every initializer was listed so."""
    planted = build_cell(np.random.default_rng(SEED), Cell(opset=7))
    planted.model.ir_version = 3
    for tensor in planted.model.graph.initializer:
        planted.model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    _, changed = rewritten(planted)
    assert {tensor.name for tensor in changed.graph.initializer} <= {value.name for value in changed.graph.input}
    data = {"X": np.random.default_rng(0).standard_normal((4, 2, 6)).astype(np.float32)}
    oracles.assert_close(oracles.run(planted.model, data), oracles.run(changed, data))


def test_an_operand_that_callers_may_override_stays_an_operand():
    planted = build_cell(np.random.default_rng(SEED), Cell(direction="reverse", peepholes="constant"))
    for tensor in planted.model.graph.initializer:
        if tensor.name in ("B", "P"):
            planted.model.graph.input.append(helper.make_tensor_value_info(tensor.name, 1, tensor.dims))
    _, changed = rewritten(planted)
    assert {"B", "P"} <= oracles.stored(changed)
    assert_same(planted, changed)  # feeds other values for B and P


@pytest.mark.parametrize("op", OPERATORS)
def test_a_state_that_another_operator_computes_from_constants_is_no_constant(op):
    """ONNX's reference implementation, which folds constants, ignores clip and some activation functions."""
    planted = build_cell(np.random.default_rng(SEED), Cell(op=op, initial_h="dynamic"))
    proto, rng = planted.model, np.random.default_rng(0)
    main = next(n for n in proto.graph.node if n.op_type == op)
    state = main.input[5]
    shape = next(i for i in proto.graph.input if i.name == state).type.tensor_type.shape.dim
    hidden = shape[2].dim_value
    weights = {"cw": (1, GATES[op] * hidden, 2), "cr": (1, GATES[op] * hidden, hidden), "cx": (3, 1, 2)}
    for name, size in weights.items():
        proto.graph.initializer.append(numpy_helper.from_array(rng.standard_normal(size).astype(np.float32), name))
    made = node(op, "cx cw cr", " made".replace(" ", "unread "), "constant", hidden_size=hidden, clip=0.2)
    proto.graph.node.insert(0, made)
    main.input[5] = "made"
    kept = [i for i in proto.graph.input if i.name != state]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    for graph_input in proto.graph.input:
        if len(graph_input.type.tensor_type.shape.dim) == 3:
            graph_input.type.tensor_type.shape.dim[1].dim_value = 1
    chosen = plan(proto)
    assert chosen.rewrites
    verdict = scission.check(proto, scission.apply(proto, chosen), trials=scission.Trials(provider="cpu"))
    assert verdict.equal, verdict.reason


def test_addresses_are_told_apart_across_graphs():
    cell = build_cell(np.random.default_rng(SEED), Cell(direction="bidirectional", place="if"))
    addresses = [way.address for way in found_in(cell.model).recurrents]
    taken = addresses[0]
    clash = helper.make_node("Neg", [cell.model.graph.input[0].name], ["clash"], taken)
    cell.model.graph.node.append(clash)
    again = [way.address for way in found_in(cell.model).recurrents]
    assert again[0] == taken + "'" and again[1:] == addresses[1:]
    chosen = plan(cell.model)
    assert len({step.node for step in chosen.steps}) == len(chosen.steps)


def test_units_without_edges_do_not_make_a_block_larger():
    rng = np.random.default_rng(0)
    H, I = 64, 4  # noqa: E741
    W_, R_ = np.zeros((1, 4 * H, I), np.float32), np.zeros((1, 4 * H, H), np.float32)
    for gate in range(4):
        W_[0, gate * H : gate * H + 32] = rng.standard_normal((32, I))
        R_[0, gate * H : gate * H + 32, :32] = rng.standard_normal((32, 32))
    made = lstm(weights={"w": W_, "r": R_}, inputs={"x": ["s", "b", I]}, hidden_size=H)
    (step,) = plan(made).steps
    assert step.lowering == "cells" and step.dormant_outputs == 32
    assert step.decomposition.mac_share < 0.51 and "32 units without edges" in step.reason.text
    verdict = scission.check(made, scission.apply(made, plan(made)), trials=scission.Trials(provider="cpu"))
    assert verdict.equal, verdict.reason
