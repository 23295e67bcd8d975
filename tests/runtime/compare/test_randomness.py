import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import scission
from scission.ir.io.load import load
from scission.passes.rewrite.comparable.seeding import common_seeds, draws, label, seeded

N = 32


def value(name, shape=("n", N), dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, list(shape))


def blocks(scale=1.0):
    rng = np.random.default_rng(0)
    w = np.zeros((N, N), np.float32)
    for i in range(4):
        w[i * 8 : i * 8 + 8, i * 8 : i * 8 + 8] = rng.standard_normal((8, 8)) * scale
    return w


def noisy(nodes, weight=None, *, outputs=None, constants=(), functions=(), imports=()):
    """A product, then whatever draws random numbers."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["mu"], "mm"), *nodes],
        "g",
        [value("x")],
        outputs or [value("y")],
        [numpy_helper.from_array(blocks() if weight is None else weight, "w"), *constants],
    )
    opsets = [helper.make_opsetid("", 17), *imports]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=list(functions))


def node(op, inputs, outputs, name="draw", **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), name, **attributes)


def constant(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


ADD = node("Add", "mu eps", "y", "add")
BRANCH = helper.make_graph([node("RandomNormalLike", "mu", "t")], "t", [], [value("t")])
OTHER = helper.make_graph([node("RandomUniformLike", "mu", "e", "other")], "e", [], [value("e")])
NOISE = helper.make_function(
    "local", "Noise", ["a"], ["b"], [node("RandomNormalLike", "a", "b", "inner")], [helper.make_opsetid("", 17)]
)
DRAWING = {
    "RandomNormalLike": lambda w=None: noisy([node("RandomNormalLike", "mu", "eps"), ADD], w),
    "RandomUniformLike": lambda w=None: noisy([node("RandomUniformLike", "mu", "eps"), ADD], w),
    "RandomNormal": lambda w=None: noisy([node("RandomNormal", "", "eps", shape=[1, N]), ADD], w),
    "RandomUniform": lambda w=None: noisy([node("RandomUniform", "", "eps", shape=[1, N]), ADD], w),
    "Bernoulli": lambda w=None: noisy([node("Sigmoid", "mu", "p", "act"), node("Bernoulli", "p", "eps"), ADD], w),
    "Multinomial": lambda w=None: noisy(
        [node("Multinomial", "mu", "k", sample_size=N), node("Cast", "k", "eps", "cast", to=TensorProto.FLOAT), ADD], w
    ),
    "Dropout": lambda w=None: noisy(
        [node("Dropout", "mu ratio on", "y")],
        w,
        constants=[constant("ratio", np.float32(0.5)), constant("on", np.bool_(True))],
    ),
    "a branch": lambda w=None: noisy(
        [node("If", "c", "eps", "fork", then_branch=BRANCH, else_branch=OTHER), ADD],
        w,
        constants=[constant("c", np.bool_(True))],
    ),
    "a function": lambda w=None: noisy(
        [helper.make_node("Noise", ["mu"], ["eps"], "call", domain="local"), ADD],
        w,
        functions=[NOISE],
        imports=[helper.make_opsetid("local", 1)],
    ),
}


@pytest.mark.parametrize("name", DRAWING)
def test_what_random_numbers_are_added_to_is_proved_all_the_same(name):
    """The split model equals the original under the same noise; one with a wrong weight does not."""
    original = DRAWING[name]()
    found = scission.optimize(original, force=True, bench=False)
    assert found.outcome == "split", found.reason
    assert found.verdict is not None and found.verdict.equal
    names = [label(one) for one in draws(load(original).graph)]
    assert names and names[0] in found.verdict.reason
    assert not scission.check(original, DRAWING[name](blocks(1.5))).equal


def test_noise_that_one_model_lacks_is_said():
    calm = noisy([helper.make_node("Identity", ["mu"], ["y"])])
    verdict = scission.check(DRAWING["RandomNormalLike"](), calm)
    assert not verdict.equal
    assert "only one of the models draws random numbers (draw (RandomNormalLike))" in verdict.reason


@pytest.mark.parametrize(
    "nodes",
    [
        [node("RandomNormalLike", "mu", "eps", seed=3.0), ADD],
        [node("Dropout", "mu", "y")],
        [node("Dropout", "mu ratio off", "y")],
    ],
    ids=["seeded", "not trained", "trained is false"],
)
def test_what_draws_the_same_numbers_in_every_session_is_left_alone(nodes):
    model = noisy(nodes, constants=[constant("ratio", np.float32(0.5)), constant("off", np.bool_(False))])
    assert draws(load(model).graph) == []
    found = scission.optimize(model, force=True, bench=False)
    assert found.outcome == "split" and found.verdict is not None
    assert "random" not in found.verdict.reason


def test_seeds_go_by_the_name_of_what_is_drawn_then_by_order():
    def some(*names):
        model = noisy(
            [node("RandomNormalLike", "mu", name, f"make {name}") for name in names], outputs=[value(names[0])]
        )
        return draws(load(model).graph)

    assert common_seeds(some("a", "b"), some("b", "a")) == ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert common_seeds(some("a", "b", "c"), some("c", "d", "e")) == (
        {"a": 1, "b": 2, "c": 3},
        {"c": 3, "d": 1, "e": 2},
    )
    first, second = common_seeds(some("a"), some("b", "c"))
    assert (first, second["b"]) == ({"a": 1}, 1) and second["c"] > 1


def test_seeding_copies():
    model = load(DRAWING["a branch"]()).graph
    before = onnx.ModelProto.SerializeToString(onnx_ir_proto(model))
    copy = seeded(model, {"t": 1, "e": 2})
    assert draws(copy) == [] and len(draws(model)) == 2
    assert onnx.ModelProto.SerializeToString(onnx_ir_proto(model)) == before


def onnx_ir_proto(model):
    import onnx_ir

    return onnx_ir.to_proto(model)


def test_a_sweep_sees_the_effect_of_annealing_and_not_the_noise():
    """At every level nothing is removed from a weight of large entries: the annealed model is the original."""
    x = np.random.default_rng(1).standard_normal((24, N)).astype(np.float32)
    found = scission.sweep(
        DRAWING["RandomNormalLike"](blocks(10.0)), {"x": x}, levels=(0.5,), metric="cosine", explain=False
    )
    assert found.sweep.levels[0].deviation < 1e-5
