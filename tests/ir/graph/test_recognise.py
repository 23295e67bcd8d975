import re

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from reference import apply, canonical, constants, function, graph, graphs_of, model, node, product, truth_mask
from told import sentences

from scission.ir.graph import node as node_view
from scission.ir.graph import recognise as operators
from scission.ir.graph.functions import weight_takers
from scission.ir.graph.survey import survey
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.io.tensors import read
from scission.models.planted.products import KINDS, build, feeds

SEED = 5
MS = "com.microsoft"
W = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
SQUARE = np.eye(4, dtype=np.float32)


def found_in(proto):
    return survey(load(proto).graph)


# What is found in the planted models.


def planted_linears(kind):
    """(linear, its weight, planted truth) for each planted linear; function bodies in place of their calls."""
    planted = build(np.random.default_rng(SEED), kind)
    graph = load(planted.model).graph
    seen = view(graph, weight_takers(graph)[0])
    found = {linear.address.rpartition("/")[2]: linear for linear in seen.found.linears}
    if planted.model.functions:  # inlined in the order of the calls, which is that of the truth
        found = dict(zip(planted.truth, found.values(), strict=True))
    assert found.keys() == planted.truth.keys()
    weights = (found[name].canonical(seen.found.constants) for name in planted.truth)
    linears = (found[name] for name in planted.truth)
    return planted, list(zip(linears, weights, planted.truth.values(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_planted_linear_is_found_with_its_canonical_weight(kind):
    planted, linears = planted_linears(kind)
    known = constants(planted.model)
    nodes = {n.name or f"{n.op_type}#{at}": n for body in graphs_of(planted.model) for at, n in enumerate(body.node)}
    for (name, _), (linear, weight, truth) in zip(planted.truth.items(), linears, strict=True):
        expected = known[nodes[name].input[1]] if planted.model.functions else canonical(nodes[name], known)
        assert linear.shape == truth.shape and linear.dtype.numpy() == weight.dtype
        assert weight.dtype == expected.dtype and (weight == expected).all()
        assert ((weight != 0) == truth_mask(truth)).all()


# A convolution may look at fewer or more places than its input has; what has slices is known by its pattern.
WINDOWED = ("strides", "pads", "window", "transpose", "stack")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not any(word in kind for word in WINDOWED)])
def test_what_a_linear_says_of_itself_is_what_its_node_computes(kind):
    planted = build(np.random.default_rng(SEED), kind)
    data = feeds(np.random.default_rng(SEED), planted)
    found = found_in(planted.model)
    outer = {n.name for n in planted.model.graph.node}
    linears = [linear for linear in found.linears if "/" not in linear.address and linear.node.name in outer]
    names = {value.name for lin in linears for value in (lin.activation, lin.addend, lin.node.outputs[0]) if value}
    proto = onnx.ModelProto.FromString(planted.model.SerializeToString())
    listed = {value.name for value in proto.graph.output}
    proto.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in sorted(names - listed))
    options = onnxruntime.SessionOptions()  # optimised, a dequantised weight goes through a kernel of other precision
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    everything = data | dict(zip([o.name for o in session.get_outputs()], session.run(None, data), strict=True))
    for linear in linears:
        bias = linear.bias if linear.bias is not None and linear.bias.node is None else None
        c = found.constants.read(bias.value) if bias else everything.get(linear.addend.name) if linear.addend else None
        if linear.addend is not None and c is None:
            c = found.constants.read(linear.addend)
        if c is not None and linear.layout.kind == "conv":
            c = c.reshape(-1, *[1] * (linear.layout.rank - 2))
        y = apply(linear, linear.canonical(found.constants), everything[linear.activation.name], c)
        expected = everything[linear.node.outputs[0].name]
        loose = 100 if y.dtype == np.float16 else 1
        y = np.maximum(y, 0) if linear.fused else y
        np.testing.assert_allclose(y, expected, rtol=1e-4 * loose, atol=1e-5 * loose)


@given(st.sampled_from(["left", "right"]), st.integers(2, 4), *[st.booleans()] * 3, st.sampled_from([1.0, -0.5]))
def test_layouts_of_products_of_any_rank(side, rank, trans_a, trans_b, fused, alpha):
    flags = {"transA": int(trans_a), "transB": int(trans_b), "alpha": alpha} if fused else {}
    trans_a, trans_b = trans_a and fused, trans_b and fused
    rng, lead = np.random.default_rng(0), [2, 3][: rank - 2]
    stored = W.T if (trans_b if side == "right" else not trans_a) else W
    rows = 5
    flipped = trans_a if side == "right" else not trans_b
    x = rng.standard_normal([*lead, *((4, rows) if flipped else (rows, 4))]).astype(np.float32)
    if side == "left" and trans_b:
        x = rng.standard_normal([*lead, rows, 4]).astype(np.float32)
    order = "x W" if side == "right" else "W x"
    made = node("FusedMatMul" if fused else "MatMul", order, "y", "n", MS if fused else "", **flags)
    proto = model([made], {"x": list(x.shape)}, ["y"], {"W": stored}, domains=[MS])
    (linear,) = found_in(proto).linears
    weight = linear.canonical(found_in(proto).constants)
    assert (weight == W).all()
    a, b = (x, stored) if side == "right" else (stored, x)
    a, b = (np.swapaxes(m, -1, -2) if flip else m for m, flip in ((a, trans_a), (b, trans_b)))
    np.testing.assert_allclose(apply(linear, weight, x), linear.alpha * (a @ b), rtol=1e-4, atol=1e-5)
    assert linear.alpha == (alpha if fused else 1.0)


# What is left alone, and why.


def one(made, weights=None, inputs=("x",), **options):
    options.setdefault("domains", [MS, "strange"])
    return model([made], inputs, made.output, {"w": W} if weights is None else weights, **options)


def constant_int8(name):
    return node("Constant", "", name, value=numpy_helper.from_array(W.astype(np.int8)))


def referring():
    gemm = node("Gemm", "x k", "y", "n")
    gemm.attribute.append(AttributeProto(name="alpha", type=AttributeProto.FLOAT, ref_attr_name="scale"))
    body = function(
        "F", "x", "y", [node("Constant", "", "k", value=numpy_helper.from_array(W)), gemm], attributes=["scale"]
    )
    return model([node("F", "x", "y", "call", "local", scale=2.0)], ["x"], ["y"], functions=[body])


CUBE = np.ones((2, 4, 3), np.float32)


def quantised():
    nodes = [
        node("DequantizeLinear", "q s", "a"),
        node("DequantizeLinear", "w s", "v"),
        node("MatMul", "a v", "y", "n"),
    ]
    return model(nodes, {"q": ([2, 4], np.int8)}, ["y"], {"w": W.astype(np.int8), "s": np.float32(0.5)})


def quantised_stack():
    nodes = [node("DequantizeLinear", "w s", "v"), node("MatMul", "x v", "y", "n")]
    return model(nodes, ["x"], ["y"], {"w": CUBE.astype(np.int8), "s": np.float32(0.5)})


def output_too():
    return model([node("MatMul", "x w", "y", "n")], ["x"], ["y", "w"], {"w": W})


def strange_chain():
    return model([node("NoSuchOperator", "w", "v"), node("MatMul", "x v", "y", "n")], ["x"], ["y"], {"w": W})


def shadowing():
    branch = graph([node("MatMul", "x w", "z", "n")], (), ["z"], {"w": W})
    return model(
        [node("If", "c", "y", "if", then_branch=branch, else_branch=graph([node("Identity", "x", "z")], (), ["z"]))],
        {"x": [2, 4], "c": ([], np.bool_)},
        ["y"],
        {"w": 2 * W},
    )


def older_function():
    held = node("Constant", "", "k", value=numpy_helper.from_array(W))
    body = function("F", "x", "y", [held, node("MatMul", "x k", "y", "n")], opset=13)
    return model([node("F", "x", "y", "call", "local")], ["x"], ["y"], functions=[body])


def einsum(equation, weight=W, inputs=("x",), order="x w"):
    return one(node("Einsum", order, "y", "n", equation=equation), {"w": weight}, inputs)


PIXEL = W.T.reshape(3, 4, 1, 1)
PLAIN = "not a plain product with a matrix"
LEFT_ALONE = {
    "table": (one(node("Gather", "w x", "y", "n")), "lookup table"),
    "groups": (one(node("Conv", "x w", "y", "n", group=2), {"w": PIXEL}), "convolution in groups already"),
    "dynamic bias": (one(node("Conv", "x w b", "y", "n"), {"w": PIXEL}, ["x", "b"]), "convolution with a dynamic bias"),
    "overridable": (one(node("MatMul", "x w", "y", "n"), inputs=["x", "w"]), "callers may override"),
    "overridable gemm": (one(node("Gemm", "x w", "y", "n"), inputs=["x", "w"]), "callers may override"),
    "overridable einsum": (einsum("bk,kn->bn", inputs=["x", "w"]), "callers may override"),
    "overridable conv": (one(node("Conv", "x w", "y", "n"), {"w": PIXEL}, ["x", "w"]), "callers may override"),
    "integers": (one(node("MatMul", "x w", "y", "n"), {"w": W.astype(np.int32)}), "weight of type int32"),
    "output too": (output_too(), "weight is also an output"),
    "empty": (one(node("MatMul", "x w", "y", "n"), {"w": np.ones((0, 3), np.float32)}), "weight is empty"),
    "stacked": (one(node("MatMul", "w x", "y", "n"), {"w": CUBE}), "left-hand weight and an activation"),
    "stacked einsum": (einsum("bk,ekn->ben", CUBE), "batched weight: 3 dimensions"),
    "stacked gemm": (one(node("Gemm", "x w", "y", "n"), {"w": CUBE}), "weight of 3 dimensions in Gemm"),
    "batch axes": (one(node("FusedMatMul", "x w", "y", "n", MS, transBatchA=1)), "batch axes are transposed"),
    "rank on the left": (one(node("MatMul", "w x", "y", "n")), "left-hand weight and an activation of unknown rank"),
    "rank transposed": (one(node("FusedMatMul", "x w", "y", "n", MS, transA=1)), "transposed activation of"),
    "rank of an ellipsis": (einsum("...km,kn->...mn"), "ellipsis over an activation of unknown rank"),
    "fused addend": (one(node("FusedGemm", "x w c", "y", "n", MS), inputs=["x", "c"]), "fused act"),
    "unknown domain": (one(node("Foo", "x w", "y", "n", "strange")), "operator of the unknown domain 'strange'"),
    "unfoldable": (strange_chain(), "the weight cannot be folded: .*NoSuchOperator"),
    "stacked quantised": (quantised_stack(), "its weight is quantised and no matrix"),
    "both quantised": (quantised(), "integer kernel: weight and activation are both quantised"),
    "attribute of the caller": (referring(), "an attribute depends on the caller of the function"),
    "shadowing": (shadowing(), "shares a name with a value in or outside a branch"),
    "older function": (older_function(), "its function is written for another operator set"),
    "outer product": (einsum("bk,mn->bkmn"), PLAIN),
    "element by element": (einsum("kn,kn->kn"), PLAIN),
    "diagonal": (einsum("bk,kk->bk", SQUARE), PLAIN),
    "sum over all": (einsum("bk,kn->b"), PLAIN),
    "sum over more": (einsum("bsk,kn->bn"), PLAIN),
    "vector": (einsum("bk,k->b", W[:, 0]), PLAIN),
}  # fmt: skip


def reasons(found):
    return [skipped.reason.text for skipped in found.skipped]


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_is_no_linear_is_listed_with_the_reason(name):
    proto, reason = LEFT_ALONE[name]
    found = found_in(proto)
    assert found.linears == ()
    (skipped,) = [skipped for skipped in found.skipped if skipped.node.endswith("n")]
    assert re.search(reason, skipped.reason.text)
    sizes = {"empty": 0, "vector": 0, "diagonal": 16}
    assert skipped.parameters == sizes.get(name, 24 if "stacked" in name else 12)
    assert skipped.op in {n.op_type for body in graphs_of(proto) for n in body.node}


@pytest.mark.parametrize("op", operators.REASONS)
@pytest.mark.parametrize("domain", ["", MS])
def test_operators_with_their_own_reason(op, domain):
    kernel = {"w": np.ones((3, 4, 3, 3), np.float32)}
    proto = one(node(op, "x w", "y", "n", domain), kernel if "Conv" in op else None)
    assert reasons(found_in(proto)) == [operators.REASONS[op].text]
    assert not found_in(one(node(op, "x z", "y", "n", domain), inputs=["x", "z"])).skipped


def test_every_reason_of_the_source_is_reached_by_a_model_here():
    given_here = [reason for proto, _ in LEFT_ALONE.values() for reason in reasons(found_in(proto))]
    told = sentences(operators) | sentences(node_view)
    assert len(told) > 15
    assert [text for text in told if not any(re.search(text, reason) for reason in given_here)] == []


SUM = function("F", "a b", "c", [node("Add", "a b", "c")])
NOTHING = {
    "two activations": one(node("MatMul", "x z", "y", "n"), inputs=["x", "z"]),
    "two constants": one(node("MatMul", "w v", "y", "n"), {"w": W, "v": SQUARE[:3, :3]}, ()),
    "a vector": one(node("MatMul", "x w", "y", "n"), {"w": W[:, 0]}),
    "a call": one(node("F", "x w", "y", "n", "local"), functions=[SUM]),
    "an addition": one(node("Add", "x w", "y", "n")),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTHING)
def test_what_multiplies_by_no_constant_matrix_is_not_mentioned(name):
    found = found_in(NOTHING[name])
    assert (found.linears, found.skipped) == ((), ())


def test_a_weight_of_ir_version_3_is_listed_as_input_and_still_constant():
    proto = one(node("MatMul", "x w", "y", "n"), inputs=["x", "w"], ir_version=3)
    assert len(found_in(proto).linears) == 1


def test_a_sparse_initializer_is_a_weight():
    proto = one(node("MatMul", "x s", "y", "n"), {})
    values, places = helper.make_tensor("s", 1, [2], [5, 7]), helper.make_tensor("", TensorProto.INT64, [2], [1, 11])
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4, 3]))
    found = found_in(proto)
    (linear,) = found.linears
    expected = np.zeros((4, 3), np.float32)
    expected[0, 1], expected[3, 2] = 5, 7
    assert (linear.canonical(found.constants) == expected).all()
    assert (read(linear.weight.const_value) == expected).all()


# The bias behind a product.


def behind(*nodes, weights, rank=3, order="x w", outputs=("y",)):
    K = 4
    shape = {1: [K], 2: ["b", K], 3: ["b", "s", K]}[rank]
    inputs = {"x": shape if order == "x w" else ["b", K, "s"], "skip": None}
    stored = W if order == "x w" else W.T
    return model([node("MatMul", order, "p", "linear"), *nodes], inputs, outputs, {"w": stored, **weights})


B = np.float32([1, 2, 3])
SHAPE = np.array([-1, 3])
DIRECT, ADD = node("Add", "p b", "y"), node("Add", "r b", "y")
BIASES = {  # (model, the operator in between, or False where there is no bias)
    "right": (behind(DIRECT, weights={"b": B}), None),
    "left": (behind(node("Add", "b p", "y"), weights={"b": B}), None),
    "row": (behind(DIRECT, weights={"b": B[None]}), None),
    "of a vector": (behind(DIRECT, weights={"b": B}, rank=1), None),
    "column of a left product": (behind(DIRECT, weights={"b": B[:, None]}, order="w x"), None),
    "reshape": (behind(node("Reshape", "p s", "r"), ADD, weights={"b": B, "s": SHAPE}), "Reshape"),
    "cast": (behind(node("Cast", "p", "r", to=11), ADD, weights={"b": B.astype(np.float64)}), "Cast"),
    "residual": (behind(node("Add", "p skip", "y"), weights={}), False),
    "with itself": (behind(node("Add", "p p", "y"), weights={}), False),
    "scalar": (behind(DIRECT, weights={"b": np.float32(1)}), False),
    "matrix": (behind(DIRECT, weights={"b": np.ones((5, 3), np.float32)}), False),
    "along the wrong axis": (behind(DIRECT, weights={"b": B}, order="w x"), False),
    "that adds a dimension": (behind(DIRECT, weights={"b": B[None, None]}, rank=2), False),
    "product used twice": (behind(DIRECT, node("Neg", "p", "z"), weights={"b": B}, outputs=["y", "z"]), False),
    "product is an output": (behind(DIRECT, weights={"b": B}, outputs=["y", "p"]), False),
    "subtraction": (behind(node("Sub", "p b", "y"), weights={"b": B}), False),
    "two between": (behind(node("Cast", "p", "q", to=1), node("Cast", "q", "r", to=1), ADD, weights={"b": B}), False),
}  # fmt: skip


@pytest.mark.parametrize("name", BIASES)
def test_only_one_constant_per_output_is_a_bias(name):
    proto, via = BIASES[name]
    (linear,) = found_in(proto).linears
    if via is False:
        assert linear.bias is None and linear.output is linear.node.outputs[0]
    else:
        assert linear.bias.node.op_type == "Add" and linear.bias.via == via
        assert linear.output.name == ("y" if via is None else "p")
        assert (linear.bias.value.name, linear.bias.value.const_value.size) == ("b", 3)


def test_an_add_inside_a_branch_is_no_bias_of_a_product_outside():
    branch = product(W).graph
    del branch.node[:], branch.input[:]
    branch.node.append(node("Add", "p b", "y"))
    proto = behind(node("If", "c", "y", then_branch=branch, else_branch=branch), weights={"b": B, "c": np.array(True)})
    assert all(linear.bias is None for linear in found_in(proto).linears)


SHAPES = {(): True, (1,): True, (3,): True, (1, 3): True, (1, 1): True, (2, 1): False, (2, 3): False}


@pytest.mark.parametrize(("shape", "is_bias"), SHAPES.items())
def test_the_addend_of_a_gemm_is_a_bias_when_it_varies_along_the_outputs_alone(shape, is_bias):
    proto = one(node("Gemm", "x w c", "y", "n", beta=0.5), {"w": W, "c": np.ones(shape, np.float32)})
    (linear,) = found_in(proto).linears
    assert (linear.bias is not None, linear.addend is None, linear.beta) == (is_bias, is_bias, 0.5)


def test_a_gemm_that_multiplies_its_addend_by_zero_has_none():
    proto = one(node("Gemm", "x w c", "y", "n", beta=0.0), {"w": W, "c": B * np.nan})
    (linear,) = found_in(proto).linears
    assert linear.bias is None and linear.addend is None
