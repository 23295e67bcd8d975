"""What masks hide in every trial is said."""

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

import scission
from scission.runtime.ort.trials import Trials


def masked(condition, *, first="x", second="zero"):
    """y = Where(c, first, second), c of `condition`: lengths, a bool, whether x is above 0, or the place alone."""
    positions = [
        h.make_node("Shape", ["x"], ["s"], start=1, end=2), h.make_node("Squeeze", ["s"], ["t"]),
        h.make_node("Range", ["i0", "t", "i1"], ["r"]), h.make_node("Unsqueeze", ["lens", "ax"], ["l"]),
    ]  # fmt: skip
    made = {
        "lengths": [*positions, h.make_node("Less", ["r", "l"], ["c"])],
        "flag": [h.make_node("Identity", ["go"], ["c"])],
        "sign": [h.make_node("Greater", ["x", "zero"], ["c"])],
        "place": [*positions, h.make_node("Less", ["r", "i1"], ["c"])],
    }[condition]
    nodes = [*made, h.make_node("Neg", ["x"], ["n"]), h.make_node("Where", ["c", first, second], ["y"], name="w")]
    inputs = [h.make_tensor_value_info("x", T.FLOAT, ["n", "t"])]
    inputs += [h.make_tensor_value_info("lens", T.INT64, ["n"])] if condition in ("lengths", "place") else []
    inputs += [h.make_tensor_value_info("go", T.BOOL, [])] if condition == "flag" else []
    constants = {"zero": np.float32(0), "i0": np.array(0), "i1": np.array(1), "ax": np.array([1])}
    graph = h.make_graph(
        nodes, "g", inputs, [h.make_tensor_value_info("y", T.FLOAT, None)],
        [nh.from_array(np.asarray(array), name) for name, array in constants.items()],
    )  # fmt: skip
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("model", "trials", "said"),
    [
        (
            masked("lengths"),
            {"likes": {"lens": "ones"}},
            "only the first position along axis 1 of the first operand of w",
        ),
        (masked("lengths"), {"likes": {"lens": "zeros"}}, "nothing of the first operand of w"),
        (masked("lengths"), {}, ""),
        (masked("flag", second="n"), {"values": {"go": True}}, "nothing of the second operand of w"),
        (masked("flag", second="n"), {}, ""),
        (masked("flag"), {"values": {"go": True}}, ""),  # a constant has nothing to hide
        (masked("sign", second="n"), {}, ""),
        (masked("place", second="n"), {}, ""),  # no inputs would show more
    ],
)
def test_what_is_hidden_is_said(model, trials, said):
    verdict = scission.check(model, model, trials=Trials(**trials))
    assert verdict.equal and verdict.shown
    assert [said in one for one in verdict.masked] == [True] * bool(said)
    assert not said or said in verdict.reason
