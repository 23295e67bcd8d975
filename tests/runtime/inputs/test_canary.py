from contextlib import closing

import numpy as np
import onnx
import pytest
from onnx import helper as h

import scission
from scission.ir.io.load import load
from scission.runtime.inputs.canary import LIVES, Canary, canary_for
from scission.runtime.ort.library import SessionError
from scission.runtime.ort.trials import Trials


def divided(divisor):
    """z = x / y of whole numbers, y an input or a constant."""
    names = ("x", "y") if divisor is None else ("x",)
    inputs = [h.make_tensor_value_info(name, onnx.TensorProto.INT64, ["n"]) for name in names]
    weights = [] if divisor is None else [onnx.numpy_helper.from_array(np.array([divisor]), "y")]
    output = h.make_tensor_value_info("z", onnx.TensorProto.INT64, ["n"])
    graph = h.make_graph([h.make_node("Div", ["x", "y"], ["z"])], "g", inputs, [output], weights)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def frames():
    """Frames of four samples, one after another: ONNX Runtime ends the process in a batch of two without a frame."""
    arrays = {"start": [4], "end": [2**62], "axis": [1], "shape": [0, -1, 4]}
    weights = [onnx.numpy_helper.from_array(np.array(values), name) for name, values in arrays.items()]
    body = h.make_graph(
        [h.make_node("Add", ["state", "frame"], ["next"]), h.make_node("Identity", ["next"], ["out"])],
        "body",
        [h.make_tensor_value_info(name, 1, ["b", 4]) for name in ("state", "frame")],
        [h.make_tensor_value_info(name, 1, ["b", 4]) for name in ("next", "out")],
    )
    axes = {"scan_input_axes": [1], "scan_output_axes": [1]}
    nodes = [
        h.make_node("Slice", ["x", "zero", "start", "axis"], ["first"]),
        h.make_node("Slice", ["x", "start", "end", "axis"], ["rest"]),
        h.make_node("Reshape", ["rest", "shape"], ["framed"]),
        h.make_node("Scan", ["first", "framed"], ["last", "y"], body=body, num_scan_inputs=1, **axes),
    ]
    weights.append(onnx.numpy_helper.from_array(np.array([0]), "zero"))
    x, y = h.make_tensor_value_info("x", 1, ["b", "n"]), h.make_tensor_value_info("y", 1, ["b", "m", 4])
    graph = h.make_graph(nodes, "g", [x], [y], weights)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def test_an_input_that_ends_the_process_counts_as_refused(tmp_path):
    onnx.save(divided(None), tmp_path / "m.onnx")
    fatal = {"x": np.array([np.iinfo(np.int64).min]), "y": np.array([-1])}
    with closing(Canary([tmp_path / "m.onnx"], Trials(provider="cpu", threads=1))) as canary:
        for feed in ({"x": np.array([6]), "y": np.array([3])}, {"x": np.array([6]), "y": np.array([0])}):
            canary.require_alive(feed)  # the second is refused, which ends nothing
        with pytest.raises(SessionError, match=r"m\.onnx: ONNX Runtime ends the whole process"):
            canary.require_alive(fatal)
        canary.require_alive({"x": np.array([6]), "y": np.array([3])})
        canary._lives = 0
        with pytest.raises(SessionError):
            canary.require_alive({"x": np.array([6]), "y": np.array([3])})
    assert LIVES > 1


@pytest.mark.parametrize(("divisor", "watched"), [(None, True), (2, False)])
def test_models_are_watched_where_an_operator_is_known_for_it(tmp_path, divisor, watched):
    with canary_for(load(divided(divisor)).graph, [tmp_path / "m.onnx"], Trials()) as found:
        assert (found is not None) == watched


def test_a_model_that_ends_the_process_on_short_inputs_is_checked_on_longer_ones(tmp_path):
    onnx.save(frames(), tmp_path / "m.onnx")
    verdict = scission.check(
        tmp_path / "m.onnx", tmp_path / "m.onnx", trials=Trials(provider="cpu", threads=1, sizes={"b": 2})
    )
    assert verdict.equal
