import tracemalloc
from collections import Counter

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from reference import function, graph, model, node, values

import scission.ir.graph.constants as constant
from scission.ir.errors import ModelError
from scission.ir.graph.constants import Constants
from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.passes.planning.make_plan import make_plan

W = np.arange(6, dtype=np.float32).reshape(2, 3)


def find(proto):
    """The constants of a model, and its values by name, those of subgraphs and functions too."""
    graph = load(proto).graph
    found = {}
    for body in (graph.graph, *graph.graph.subgraphs(), *graph.functions.values()):
        found |= {value.name: value for value in [*body.inputs, *getattr(body, "initializers", {}).values()]}
        found |= {value.name: value for n in body for value in n.outputs}
    return Constants(graph), found


def chain(op, length, *extra, **attributes):
    nodes = [node(op, f"v{n} {' '.join(extra)}", f"v{n + 1}", **attributes) for n in range(length)]
    return model(nodes, (), [f"v{length}"], {"v0": W, "one": np.float32(1)})


@pytest.mark.parametrize(("op", "extra"), [("Identity", ()), ("Transpose", ()), ("Add", ("one",))])
def test_chains_of_thousands_of_nodes(op, extra):
    length = 5000 if op != "Add" else 1500
    constants, value = find(chain(op, length, *extra))
    last = value[f"v{length}"]
    assert last in constants and constants.describe(last)[0] == (2, 3)
    assert (constants.read(last) == W + (length if op == "Add" else 0)).all()
    assert set(constants.leaves(last)) == {value["v0"], *(value[name] for name in extra)}


def diamonds(depth, weight="v0"):
    nodes = [node("Add", f"v{n} v{n}" if n else f"{weight} {weight}", f"v{n + 1}") for n in range(depth)]
    return model(nodes, {"x": [2, 3]}, [f"v{depth}"], {"v0": W})


@pytest.mark.parametrize("weight", ["v0", "x"])
def test_diamonds_are_walked_once_per_node(monkeypatch, weight):
    folds = []
    evaluate = constant._evaluate
    monkeypatch.setattr(constant, "_evaluate", lambda node, *rest: (folds.append(node), evaluate(node, *rest))[1])
    constants, value = find(diamonds(60, weight))  # 2 ** 60 paths
    assert (value["v60"] in constants) == (weight == "v0")
    assert constants.leaves(value["v60"]) == [value[weight]]
    if weight == "v0":
        assert (constants.read(value["v60"]) == W * 2.0**60).all()
        assert len(folds) == len(set(folds)) == 60


@st.composite
def recipes(draw):
    """Nodes over three initializers and an input: (operator, indices of its inputs among all earlier values)."""
    count = draw(st.integers(1, 8))
    return [
        (draw(st.sampled_from(["Add", "Sub", "Max"])), *draw(st.tuples(*[st.integers(0, 3 + n)] * 2)))
        for n in range(count)
    ]


@given(recipes(), st.sets(st.integers(0, 2)), st.sampled_from([3, 4, 8]))
def test_a_value_is_constant_exactly_when_nothing_beneath_it_can_change(recipe, overridable, ir_version):
    nodes = [node(op, f"v{a} v{b}", f"v{4 + n}") for n, (op, a, b) in enumerate(recipe)]
    weights = {f"v{n}": W + n for n in range(3)}
    listed = range(3) if ir_version < 4 else overridable
    inputs = {"v3": [2, 3], **{f"v{n}": [2, 3] for n in listed}}
    proto = model(nodes, inputs, [f"v{3 + len(recipe)}"], weights, ir_version=ir_version)
    proto.graph.output.extend(values((f"v{4 + n}", [2, 3]) for n in range(len(recipe) - 1)))
    constants, value = find(proto)

    fixed = [n not in overridable or ir_version < 4 for n in range(3)] + [False]
    for _, a, b in recipe:
        fixed.append(fixed[a] and fixed[b])
    results = ReferenceEvaluator(proto).run(None, {"v3": W, **{n: weights[n] for n in inputs if n != "v3"}})
    expected = weights | dict(zip([o.name for o in proto.graph.output], results, strict=True))
    for n, is_fixed in enumerate(fixed):
        assert (value[f"v{n}"] in constants) == is_fixed
        if is_fixed:
            assert (constants.read(value[f"v{n}"]) == expected[f"v{n}"]).all()
            assert constants.describe(value[f"v{n}"])[0] == (2, 3)


@pytest.mark.parametrize(("ir_version", "fixed"), [(3, True), (4, False), (8, False)])
def test_an_initializer_that_is_an_input_can_be_overridden_since_ir_version_4(ir_version, fixed):
    constants, value = find(model([node("Neg", "w", "y")], {"w": [2, 3]}, ["y"], {"w": W}, ir_version=ir_version))
    assert (value["w"] in constants, value["y"] in constants) == (fixed, fixed)
    assert constants.is_overridable(value["w"]) != fixed


def loop(body, ir_version=8):
    weights = {"w": W, "three": np.array(3), "go": np.array(True)}
    listed = {"w": [2, 3], "three": ([], np.int64), "go": ([], np.bool_)} if ir_version < 4 else {}
    inputs = {"x": [2, 3], **listed}
    return model(
        [node("Loop", "three go x", "last", "loop", body=body)], inputs, ["last"], weights, ir_version=ir_version
    )


STATE = {"i": ([], np.int64), "c": ([], np.bool_)}


@pytest.mark.parametrize("ir_version", [3, 8])
@pytest.mark.parametrize("own", [{}, {"w": W}])
def test_what_a_loop_hands_to_its_body_shadows_a_weight_of_the_same_name(own, ir_version):
    body = graph([node("Identity", "c", "d"), node("Neg", "w", "next")], {**STATE, "w": [2, 3]}, ["d", "next"], own)
    model = load(loop(body, ir_version)).graph
    constants, inner = Constants(model), next(iter(model.graph.subgraphs()))
    assert model.graph.initializers["w"] in constants
    assert inner.inputs[2] not in constants and inner[1].outputs[0] not in constants


def test_a_body_sees_the_weights_around_it():
    body = graph([node("Identity", "c", "d"), node("Neg", "w", "next")], {**STATE, "h": [2, 3]}, ["d", "next"])
    constants, value = find(loop(body))
    assert (constants.read(value["next"]) == -W).all() and value["d"] not in constants


SAME = graph([node("Identity", "w", "same")], (), ["same"])  # in either branch


@pytest.mark.parametrize(
    "made",
    [
        node("RandomNormal", "", "v", shape=[2, 3]),
        node("RandomUniform", "", "v", shape=[2, 3]),
        node("RandomNormalLike", "w", "v"),
        node("RandomUniformLike", "w", "v"),
        node("Bernoulli", "w", "v"),
        node("Multinomial", "w", "v"),
        node("Dropout", "w", "v"),
        node("Foo", "w", "v", "", "strange"),
        node("Attention", "w", "v", "", "com.microsoft"),
        node("Constant", "", "v", value_string="text"),
        node("If", "c", "v", then_branch=SAME, else_branch=SAME),
        node("Add", "w x", "v"),
        node("Shape", "x", "v"),
    ],
    ids=lambda n: n.op_type,
)
def test_what_is_random_unknown_or_decided_at_run_time_is_not_folded(made):
    proto = model([made, node("Neg", "v", "y")], ["x"], ["y"], {"w": W, "c": np.array(True)}, domains=["strange"])
    constants, value = find(proto)
    assert value["v"] not in constants and value["y"] not in constants


FOLDED = {
    "Constant value": (node("Constant", "", "v", value=numpy_helper.from_array(W)), W),
    "Constant float": (node("Constant", "", "v", value_float=2.5), np.float32(2.5)),
    "Constant floats": (node("Constant", "", "v", value_floats=[1.0, 2.5]), np.array([1, 2.5], np.float32)),
    "Constant int": (node("Constant", "", "v", value_int=7), np.int64(7)),
    "Constant ints": (node("Constant", "", "v", value_ints=[7, 8]), np.array([7, 8])),
    "Transpose": (node("Transpose", "w", "v"), W.T),
    "Transpose perm": (node("Transpose", "w", "v", perm=[0, 1]), W),
    "Reshape": (node("Reshape", "w shape", "v"), W.reshape(3, 2)),
    "Cast": (node("Cast", "w", "v", to=TensorProto.FLOAT16), W.astype(np.float16)),
    "bfloat16": (node("Cast", "w", "v", to=TensorProto.BFLOAT16), W.astype(ml_dtypes.bfloat16)),
    "Dequantize": (node("DequantizeLinear", "q s", "v"), np.float32([[0.5, 1], [1.5, 2]])),
    "Dequantize zero": (node("DequantizeLinear", "q s z", "v"), np.float32([[0, 0.5], [1, 1.5]])),
    "Dequantize rows": (node("DequantizeLinear", "q ss zz", "v", axis=0), np.float32([[0, 0.5], [1, 2]])),
    "Dequantize columns": (node("DequantizeLinear", "q ss zz", "v"), np.float32([[0, 0], [1, 2]])),
    "Dequantize from the end": (node("DequantizeLinear", "q ss", "v", axis=-2), np.float32([[0.5, 1], [3, 4]])),
    "optional input": (helper.make_node("Clip", ["w", "", "two"], ["v"]), np.minimum(W, 2)),
    "Split": (node("Split", "w", "v u", axis=1, num_outputs=2), W[:, :2]),
}
OPERANDS = {
    "w": W, "shape": np.array([3, 2]), "two": np.float32(2),
    "q": np.int8([[1, 2], [3, 4]]), "s": np.float32(0.5), "z": np.int8(1),
    "ss": np.float32([0.5, 1]), "zz": np.int8([1, 2]),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDED)
@pytest.mark.parametrize("opset", [18, "ai.onnx"])
def test_what_is_folded_is_what_the_operator_computes(name, opset):
    made, expected = FOLDED[name]
    proto = model([made], (), ["v"], OPERANDS, opset=18)
    if opset == "ai.onnx":
        proto.opset_import[0].domain = opset
    constants, value = find(proto)
    assert value["v"] in constants
    result = constants.read(value["v"])
    assert result.dtype == expected.dtype and result.shape == expected.shape and (result == expected).all()
    shape, dtype = constants.describe(value["v"])
    assert (shape, dtype.numpy()) == (expected.shape, expected.dtype)


@pytest.mark.parametrize(
    ("made", "opset"),
    [
        (node("Softmax", "w", "v", axis=0), 11),
        (node("GlobalMaxPool", "image", "v"), 17),
        (node("MaxPool", "image", "v", kernel_shape=[2], ceil_mode=1), 17),
        (node("Unsqueeze", "w", "v", axes=[-1, 0]), 11),
    ],
    ids=lambda one: getattr(one, "op_type", None),
)
def test_what_the_reference_implementation_computes_otherwise_than_onnx_runtime_is_not_folded(made, opset):
    constants, value = find(model([made], (), ["v"], {**OPERANDS, "image": W[None]}, opset=opset))
    assert value["v"] not in constants


def test_whole_numbers_stay_as_wide_as_they_are():
    number = {"i": np.int32([[1, 2], [3, 4]])}
    constants, value = find(model([node("ReduceSumSquare", "i", "v", axes=[0])], (), ["v"], number))
    assert constants.read(value["v"]).dtype == np.int32


@pytest.mark.parametrize(
    "made",
    [
        [node("Log", "zero", "v")],
        [node("Log", "zero", "l"), node("Cast", "l", "v", to=TensorProto.INT64)],
        [node("Div", "two zero", "v")],
        [node("Exp", "large", "v")],
        [node("Cast", "large", "v", to=TensorProto.FLOAT16)],
        [node("DequantizeLinear", "q large", "v")],
    ],
    ids=lambda nodes: " ".join(one.op_type for one in nodes),
)
def test_what_is_infinite_is_folded_without_a_warning(made, recwarn):
    numbers = {**OPERANDS, "zero": np.float32([0, 1]), "large": np.float32(3e38)}
    constants, value = find(model(made, (), ["v"], numbers))
    assert constants.read(value["v"]).size
    assert not [str(one.message) for one in recwarn]


@pytest.mark.parametrize(
    "made",
    [
        node("Transpose", "w", "v", "bad", perm=[0, 5]),
        node("DequantizeLinear", "flat ss", "v", "bad"),
        node("Reshape", "w ss", "v", "bad"),
        node("NoSuchOperator", "w", "v", "bad"),
        helper.make_node("Identity", [""], ["v"], "bad"),
    ],
    ids=lambda n: n.op_type,
)
def test_what_cannot_be_folded_is_a_model_error_that_names_the_node(made):
    constants, value = find(model([made], (), ["v"], {**OPERANDS, "flat": np.int8([1, 2])}))
    if made.op_type != "Identity":
        assert value["v"] in constants
    with pytest.raises(ModelError, match="'bad'"):
        constants.read(value["v"])


@pytest.mark.parametrize("kind", ["function input", "attribute of the call"])
def test_inside_a_function_only_its_own_constants_count(kind):
    inner = node("Constant", "", "k", value=numpy_helper.from_array(W))
    if kind == "attribute of the call":
        inner = node("Constant", "", "k")
        inner.attribute.append(AttributeProto(name="value_float", type=1, ref_attr_name="given"))
    body = function("F", "p", "r", [inner, node("Neg", "k", "n"), node("Add", "p n", "r")], attributes=["given"])
    constants, value = find(model([node("F", "w", "y", "", "local")], (), ["y"], {"w": W}, functions=[body]))
    assert (value["n"] in constants) == (kind == "function input")
    assert value["p"] not in constants and value["y"] not in constants


def test_a_long_chain_over_a_large_weight_holds_no_more_than_a_few_copies():
    large = np.ones((1024, 1024), np.float32)
    nodes = [node("Neg", "w", "v0")] + [node("Neg", f"v{i}", f"v{i + 1}") for i in range(20)]
    graph = load(model([*nodes, node("MatMul", "x v20", "y", "linear")], {"x": [1, 1024]}, ["y"], {"w": large})).graph
    (linear,) = survey(graph).linears
    constants = Constants(graph)
    tracemalloc.start()
    linear.stored(constants)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * large.nbytes


@given(st.lists(st.sampled_from([None, (0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), "Identity"]), max_size=5))
def test_what_only_turns_a_weight_is_described_without_reading_it(perms):
    nodes = [
        node(
            "Identity" if perm == "Identity" else "Transpose",
            f"v{n}",
            f"v{n + 1}",
            **({"perm": perm} if isinstance(perm, tuple) else {}),
        )
        for n, perm in enumerate(perms)
    ]
    last = f"v{len(perms)}"
    held = np.zeros((2, 3, 4), np.float32)
    constants, value = find(model([*nodes, node("Neg", last, "y")], (), ["y"], {"v0": held}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constant, "read", lambda tensor: pytest.fail("was read"))
        shape, _ = constants.describe(value[last])
    assert shape == constants.read(value[last]).shape


@pytest.mark.parametrize("perm", [(0, 0), (1,), (0, 1, 2), (-1, 0)])
def test_axes_that_are_no_order_are_described_as_they_are_read(perm):
    constants, value = find(model([node("Transpose", "v0", "v1", perm=perm)], (), ["v1"], {"v0": W}))
    try:
        read = constants.read(value["v1"]).shape
    except ModelError:
        with pytest.raises(ModelError):
            constants.describe(value["v1"])
    else:
        assert constants.describe(value["v1"])[0] == read


def test_inside_of_reading_once_a_weight_is_read_once(monkeypatch):
    constants, value = find(chain("Transpose", 2))
    read, count = constant.read, []
    monkeypatch.setattr(constant, "read", lambda tensor: count.append(tensor.name) or read(tensor))
    with constants.reading_once():
        with constants.reading_once():
            first = constants.read(value["v1"])
        second = constants.read(value["v2"])
        assert (first == second.T).all() and count == ["v0"]
    constants.read(value["v1"])
    assert count == ["v0", "v0"]


def test_a_plan_of_a_long_chain_of_constants_runs_each_of_its_operators_a_few_times(monkeypatch):
    def steps(length):
        """How often operators of a chain in front of a weight are run, and inputs of its nodes are looked at."""
        nodes = [node("Add", f"v{n} v{n}", f"v{n + 1}") for n in range(length)]
        product = node("MatMul", f"x v{length}", "y")
        loaded = load(model([*nodes, product], {"x": ["n", 2]}, {"y": ["n", 3]}, {"v0": W}))
        counted = Counter()
        fold, inputs = Constants.fold, type(next(iter(loaded.graph.graph))).inputs
        with monkeypatch.context() as patched:
            patched.setattr(Constants, "fold", lambda *a: (counted.update(["fold"]), fold(*a))[1])
            looked = property(lambda self: (counted.update(["inputs"]), inputs.fget(self))[1])
            patched.setattr(type(next(iter(loaded.graph.graph))), "inputs", looked)
            make_plan(loaded)
        return counted

    few, many = steps(100), steps(400)
    assert many["fold"] <= 4 * few["fold"] <= 4 * 8 * 100
    assert many["inputs"] <= 4.5 * few["inputs"]


def test_what_is_read_of_a_chain_is_an_array_of_its_own_each_time():
    constants, value = find(chain("Add", 30, "one"))
    constants.read(value["v30"])[:] = 7
    np.testing.assert_array_equal(constants.read(value["v30"]), W + 30)
