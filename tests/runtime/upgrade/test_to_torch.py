"""Models of every kind as modules of torch: what they compute, what is trained of them, and what is refused."""

import copy

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference import function, graph, model, node
from rewritten import plan

torch = pytest.importorskip("torch")

from run_torch import assert_alike, by_runtime, by_torch  # noqa: E402

import scission  # noqa: E402
from scission import Cause, PlanError, UnsupportedOperatorError  # noqa: E402
from scission.models.planted import ffn  # noqa: E402
from scission.models.planted.products import KINDS, build, feeds  # noqa: E402
from scission.torch import BlockLinear, LayerError, to_torch  # noqa: E402


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_each_kind_computes_what_onnx_runtime_computes(kind):
    rng = np.random.default_rng(0)
    planted = build(rng, kind)
    given = feeds(rng, planted)
    wanted = by_runtime(planted.model, given)
    assert_alike(wanted, by_torch(to_torch(planted.model), given), given)
    assert_alike(wanted, by_torch(to_torch(planted.model, plan(planted.model)), given), given)


@settings(max_examples=20, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 1 << 30))
def test_gradients_of_blocks_are_those_of_the_masked_whole(kind, seed):
    """Eq. 4.7, within the rounding of sums in another order."""
    rng = np.random.default_rng(seed)
    planted = build(rng, kind, dtype=np.float32)
    given = {name: torch.from_numpy(one) for name, one in feeds(rng, planted).items()}
    split, whole = to_torch(planted.model, plan(planted.model)), to_torch(planted.model)
    assume(split.blocks or split.weights)
    for module in (split, whole):
        made = module(**given)
        made = made if isinstance(made, tuple) else (made,)
        sum(one.float().square().sum() for one in made if one.is_floating_point()).backward()
    whole_names = {value.name: name for name, value in whole.written.whole.items()}
    for name, role in split.written.blocks.items():
        gradient = whole.weights[whole_names[role.leaf.name]].grad.numpy()
        gradient = np.transpose(gradient, role.order)
        dense = gradient if role.linear.transposed else gradient.T
        size = float(np.abs(dense).max(initial=1))
        for parameter, _, at in split.blocks[name].origins():
            found = parameter.grad.float().numpy()
            rounding = 2e-2 if kind == "fp16" else 1e-5
            np.testing.assert_allclose(found, dense.reshape(-1)[at.numpy()].astype(np.float32), atol=rounding * size)
    for name, mask in split._masked.items():
        outside = ~split.masks.get_buffer(mask)
        assert not split.weights[name].grad[outside].any(), "what is outside of the blocks does not learn"


def chain():
    """A net of two products with blocks, a norm before them, and a table that is looked up."""
    rng = np.random.default_rng(3)
    up, down = (np.kron(np.eye(2), rng.standard_normal(size)).astype(np.float32) for size in ((4, 6), (6, 4)))
    constants = {"table": rng.standard_normal((5, 8)), "scale": np.ones(8), "shift": np.zeros(8), "half": 0.5}
    constants = {name: np.asarray(one, np.float32) for name, one in constants.items()} | {"up": up, "down": down}
    nodes = [
        node("Gather", "table i", "e", "look"),
        node("LayerNormalization", "e scale shift", "x", "norm"),
        node("MatMul", "x up", "h", "first"),
        node("Relu", "h", "r", "relu"),
        node("MatMul", "r down", "z", "second.of.two"),
        node("Mul", "z half", "y", "halve"),
    ]
    return model(nodes, {"i": (["n"], np.int64)}, {"y": ["n", 8]}, constants, opset=17)


def test_what_is_trained_and_what_stays():
    module = to_torch(chain(), plan(chain()))
    assert {name: type(one) for name, one in module.blocks.items()} == {
        "first": BlockLinear,
        "second/of/two": BlockLinear,
    }
    assert sorted(module.weights) == ["scale", "shift"], "no table, no single number"
    names = {name for name, _ in module.named_parameters()}
    assert names == {"blocks.first.blocks.0", "blocks.second/of/two.blocks.0", "weights.scale", "weights.shift"}
    assert module.input_names == ("i",) and module.output_names == ("y",) and module.held == ()


def test_a_copy_and_a_state_compute_the_same():
    module, given = to_torch(chain(), plan(chain())), torch.tensor([0, 3, 4])
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.25)
    twin, other = copy.deepcopy(module), to_torch(chain(), plan(chain()))
    other.load_state_dict(module.state_dict())
    assert torch.equal(twin(given), module(given)) and torch.equal(other(given), module(i=given))
    assert twin.written is module.written


def test_a_weight_that_several_read_is_one_parameter():
    shared = to_torch(build(np.random.default_rng(0), "tied-embedding").model)
    assert len(list(shared.parameters())) == 1
    planted = build(np.random.default_rng(0), "shared").model
    module = to_torch(planted, plan(planted))
    assert len(module.blocks) == 0 and len(module._masked) == 1, "neither reader has it for itself"


def test_weights_that_are_not_stored_as_they_are_read_are_held():
    planted = build(np.random.default_rng(0), "through-dequantize-rows").model
    module = to_torch(planted, plan(planted))
    assert [(one.node, one.reason.cause) for one in module.held] == [("linear", Cause.UNSUPPORTED)]
    assert list(module.parameters()) == []


def test_a_network_of_more_than_one_row_trains():
    planted = ffn.build(np.random.default_rng(0), 12, 24, 3)
    module = to_torch(planted.model, plan(planted.model, regions=True))
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    x = torch.randn(16, 12, generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (module(x) - x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_all_operators_without_a_rule_are_named_at_once():
    nodes = [
        node("NonZero", "x", "a", "which"),
        node("Cast", "a", "b", "cast", to=1),
        node("MatMul", "x W", "c", "product"),
        node("Resize", "c - s", "d", "larger"),
        node("Resize", "d - s", "e", "larger still"),
        node("Trunc", "e", "y", "odd", "local.things"),
    ]
    made = model(
        nodes,
        {"x": (2, 3)},
        {"y": None, "b": None},
        {"W": np.ones((3, 3), np.float32), "s": np.ones(2, np.float32)},
        domains=["local.things"],
    )
    with pytest.raises(UnsupportedOperatorError, match=r"NonZero \(no rule; which\), Resize \(no rule; larger and 1"):
        to_torch(made)
    with pytest.raises(UnsupportedOperatorError) as caught:
        to_torch(made)
    assert [(one.node, one.op) for one in caught.value.operators] == [
        ("which", "NonZero"),
        ("larger", "Resize"),
        ("larger still", "Resize"),
        ("odd", "local.things::Trunc"),
    ]


@pytest.mark.parametrize(
    ("one", "inputs", "why"),
    [
        (node("Dropout", "x - t", "y", "drop"), {"x": (2, 3), "t": ((), bool)}, "as in training"),
        (node("MaxPool", "x", "y i", "pool", kernel_shape=[2]), {"x": (1, 2, 3)}, "more than one result"),
        (node("Cast", "x", "y", "cast", to=10), {"x": ((2, 3), np.uint16)}, "x is uint16"),
        (node("Cast", "x", "y", "cast", to=4), {"x": (2, 3)}, "it makes uint16"),
    ],
)
def test_what_a_rule_does_not_cover_is_refused_with_the_reason(one, inputs, why):
    with pytest.raises(UnsupportedOperatorError) as caught:
        to_torch(model([one], inputs, {"y": None}))
    assert [str(each.reason) for each in caught.value.operators] == [why]


@pytest.mark.parametrize("rounds", [0, 3])
def test_a_loop_of_no_round_makes_nothing_of_the_type_and_shape_that_it_would_have(rounds):
    body = graph(
        [node("Identity", "go", "more"), node("Cast", "x", "w", to=7), node("Identity", "x", "f")],
        {"i": ((), np.int64), "go": ((), bool)},
        {"more": ((), bool), "w": ((2, 3), np.int64), "f": (2, 3)},
    )
    proto = model(
        [node("Loop", "n -", "a b", "loop", body=body)], {"n": ((), np.int64), "x": (2, 3)}, {"a": None, "b": None}
    )
    proto.graph.output[0].type.tensor_type.elem_type = 7
    feeds = {"n": np.array(rounds), "x": np.float32([[1, 2, 3], [4, 5, 6]])}
    assert_alike(by_runtime(proto, feeds), by_torch(to_torch(proto), feeds), feeds)


def test_a_call_may_leave_out_an_input_that_another_gives():
    body = [node("Clip", "a b", "o")]
    local = [function("Least", "a b", "o", body)]
    nodes = [node("Least", "x", "h", "without", "local"), node("Least", "h zero", "y", "with", "local")]
    nodes.append(node("Least", "x -", "z", "empty", "local"))
    zero = {"zero": np.float32(0)}
    made = model(nodes, {"x": (2, 3)}, {"y": (2, 3), "z": (2, 3)}, zero, functions=local, domains=["local"])
    feeds = {"x": np.float32([[-1, 2, -3], [4, -5, 6]])}
    assert_alike(by_runtime(made, feeds), by_torch(to_torch(made), feeds), feeds)


def test_a_plan_for_another_model_is_refused():
    made = plan(build(np.random.default_rng(0), "gemm").model)
    with pytest.raises(PlanError, match="the weight is not the one"):
        to_torch(build(np.random.default_rng(1), "gemm").model, made)


def test_inputs_are_asked_for_by_their_names():
    module = to_torch(chain())
    for positional, named in (((), {}), ((torch.zeros(1),), {"i": torch.zeros(1)}), ((), {"j": torch.zeros(1)})):
        with pytest.raises(LayerError, match="i"):
            module(*positional, **named)


def test_what_a_plan_does_before_it_splits_is_done():
    planted = ffn.build(np.random.default_rng(0), 12, 24, 3)
    annealed = scission.plan(planted.model, provider="cpu", threads=1, force=True, anneal="edges")
    module = to_torch(planted.model, annealed)
    x = np.random.default_rng(1).standard_normal((3, 12)).astype(np.float32)
    name = planted.model.graph.input[0].name
    assert_alike(by_runtime(scission.apply(planted.model, annealed), {name: x}), by_torch(module, {name: x}), {name: x})
