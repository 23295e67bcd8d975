import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper as h
from onnx import numpy_helper as nh
from onnx.reference import ReferenceEvaluator

import scission
from scission.ir.folding.budget import LEAST, PRODUCTS, SIZES, FoldingBudget, Work, budget_of, work_of
from scission.ir.reason import Cause

NONE = np.empty(0, np.float32)
sizes = st.integers(1, 4)


def result(op, inputs, **attributes):
    """What ONNX's reference implementation makes of some operands."""
    names = [f"i{number}" for number in range(len(inputs))]
    infos = [
        h.make_tensor_value_info(name, h.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in zip(names, inputs, strict=True)
    ]
    node = h.make_node(op, names, ["y"], **attributes)
    graph = h.make_graph([node], "g", infos, [onnx.ValueInfoProto(name="y")])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 20)], ir_version=9)
    return np.asarray(ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))[0])


@st.composite
def calls(draw):
    """(operator, operands, attributes) of which the size of the result does not follow from that of the first."""
    k, m, n, some = draw(sizes), draw(sizes), draw(sizes), np.ones
    return draw(
        st.sampled_from(
            [
                ("ConstantOfShape", [np.array([k, m, n])], {}),
                ("Expand", [some((k, 1), np.float32), np.array([n, 1, m])], {}),
                ("Tile", [some((k, m), np.float32), np.array([n, m])], {}),
                ("Range", [np.array(k), np.array(-3 * m), np.array(-n)], {}),
                ("Range", [np.float32(0.5), np.float32(k * m), np.float32(0.25 * n)], {}),
                ("OneHot", [np.zeros((k, m), np.int64), np.array(n), np.array([0.0, 1.0], np.float32)], {}),
                ("Pad", [some((k, m), np.float32), np.array([0, n, 1, k])], {}),
                ("Concat", [some((k, m), np.float32), some((k, n), np.float32)], {"axis": 1}),
                ("Gather", [some((k, m, 3), np.float32), np.zeros((n, 2), np.int64)], {"axis": 1}),
                ("GatherND", [some((k, m, 3), np.float32), np.zeros((n, 2), np.int64)], {}),
                ("GatherND", [some((k, m, 3), np.float32), np.zeros((k, n, 1), np.int64)], {"batch_dims": 1}),
                ("HannWindow", [np.array(4 * k)], {}),
                ("AffineGrid", [some((k, 2, 3), np.float32), np.array([k, 3, m, n])], {}),
                ("CenterCropPad", [some((k, m), np.float32), np.array([n, k])], {}),
                ("CenterCropPad", [some((k, m, 3), np.float32), np.array([n])], {"axes": [-2]}),
                ("Resize", [some((k, m), np.float32), NONE, np.array([1, n], np.float32)], {"mode": "nearest"}),
                ("Resize", [some((1, 1, k, m), np.float32), NONE, NONE, np.array([1, 1, n, k])], {"mode": "nearest"}),
                ("MatMul", [some((n, k, m), np.float32), some((m, 3), np.float32)], {}),
                ("MatMul", [some((m,), np.float32), some((k, m, n), np.float32)], {}),
                ("Gemm", [some((m, k), np.float32), some((n, m), np.float32)], {"transA": 1, "transB": 1}),
                ("Einsum", [some((k, m), np.float32), some((m, n), np.float32)], {"equation": "ij,jk->ik"}),
            ]
        )
    )


@given(calls())
def test_the_size_of_a_result_is_known_before_it_is_made(call):
    op, inputs, attributes = call
    made = result(op, inputs, **attributes)
    assert work_of(op, inputs, attributes).bytes == made.size * inputs[0].itemsize


def test_what_was_resized_by_its_second_operand_or_by_an_attribute_is_known_as_well():
    x, scales = np.ones((2, 3), np.float32), np.array([1, 1000], np.float32)
    assert work_of("Upsample", [x, scales], {}).bytes == work_of("Upsample", [x], {"scales": [1, 1000]}).bytes == 24_000
    assert work_of("Resize", [x, None, None, np.array([1000])], {"axes": [-1]}).bytes == 8_000


@given(st.lists(sizes, min_size=1, max_size=3), st.lists(sizes, min_size=1, max_size=3))
def test_operands_are_broadcast(one, other):
    try:
        size = np.broadcast(np.ones(one), np.ones(other)).size
    except ValueError:
        return  # the operator itself will refuse them
    inputs = [np.ones(one, np.float32), np.ones(other, np.float32)]
    assert work_of("Add", inputs, {}, pointwise=True).bytes == 4 * size


def test_multiply_adds_take_time_and_loops_take_more():
    square = np.ones((1000, 1000), np.float32)
    assert work_of("MatMul", [square, square], {}).seconds == pytest.approx(1)
    assert work_of("GridSample", [square], {}).seconds > work_of("NobodyKnows", [square], {}).seconds > 1
    assert work_of("Transpose", [square], {}).seconds < 0.1


def test_what_is_wrong_is_left_to_the_operator():
    for op in (*SIZES, *PRODUCTS):
        for inputs in ([], [None], [np.ones(0)], [np.array(-1), np.ones((2, 2))]):
            assert work_of(op, inputs, {}).bytes < 100, op


def test_a_budget_grows_with_what_a_constant_is_made_of():
    assert budget_of(0).bytes == LEAST and budget_of(LEAST).bytes == 4 * LEAST
    assert FoldingBudget(10, 1.0).excess(Work(10, 0.5), spent=0.5) is None
    assert "more than 1 s" in FoldingBudget(10, 1.0).excess(Work(10, 0.6), spent=0.5)


ONE = h.make_tensor("v", 1, [1], [1.0])
SIDE = 20_000
BOMBS = {
    "ConstantOfShape": ([h.make_node("ConstantOfShape", ["s"], ["w"], value=ONE)], {"s": np.array([SIDE, SIDE])}),
    "Range": (
        [h.make_node("Range", ["a", "b", "c"], ["r"]), h.make_node("Reshape", ["r", "s"], ["w"])],
        {"a": np.float32(0), "b": np.float32(SIDE**2), "c": np.float32(1), "s": np.array([SIDE, SIDE])},
    ),
    "Resize": (
        [h.make_node("Resize", ["r", "", "", "s"], ["w"], mode="nearest")],
        {"r": np.ones((1, 1), np.float32), "s": np.array([SIDE, SIDE])},
    ),
    "Concat": (
        [h.make_node("Concat", [f"t{i}"] * 2, [f"t{i + 1}" if i < 27 else "w"], axis=i % 2) for i in range(28)],
        {"t0": np.ones((1, 1), np.float32)},
    ),
    "GridSample": (
        [
            h.make_node("ConstantOfShape", ["g"], ["grid"], value=h.make_tensor("v", 1, [1], [0.0])),
            h.make_node("GridSample", ["c", "grid"], ["z"]),
            h.make_node("Reshape", ["z", "s"], ["w"]),
        ],
        {"c": np.ones((1, 1, 4, 4), np.float32), "g": np.array([1, 1000, 1000, 2]), "s": np.array([1000, 1000])},
    ),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_hundred_bytes_make_no_gigabytes_and_take_no_minutes(kind):
    """The weight is left as it is, with the reason; the plan is one."""
    nodes, constants = BOMBS[kind]
    size = {"Concat": 2**14, "GridSample": 1000}.get(kind, SIDE)
    graph = h.make_graph(
        [*nodes, h.make_node("MatMul", ["x", "w"], ["y"], name="mm")],
        "g",
        [h.make_tensor_value_info("x", 1, ["n", size])],
        [h.make_tensor_value_info("y", 1, ["n", size])],
        [nh.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    plan = scission.plan(model, provider="cpu", threads=1)
    (left,) = [one for one in plan.left_alone if one.node == "mm"]
    assert not plan.rewrites and left.reason.cause is Cause.UNREADABLE
    assert "constant operator" in left.reason.text
