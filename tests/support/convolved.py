"""Models of which convolutions can have another form, and the copies in which all that can have it do."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.rewritten_convolution import RewrittenConvolution
from scission.ir.reason import Cause, Reason
from scission.passes.convolutions.find import seen
from scission.passes.rewrite.rewrite_convolutions import rewrite_convolutions


def steps_of(model: onnx.ModelProto) -> list[RewrittenConvolution]:
    """Everything that can be done, whether it is predicted to gain or not."""
    _, scope, _, found = seen(load(model).graph)
    why = Reason(Cause.CONVOLUTION, "asked for")
    return [
        RewrittenConvolution(
            nodes=tuple(scope.addresses[node] for node in one.nodes), form=one.form, sha256=one.sha256, reason=why
        )
        for one in found
    ]


def rewritten(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """A copy in which all of it is done, and the forms that were."""
    steps = steps_of(model)
    return ir.to_proto(rewrite_convolutions(load(model).graph, steps)), [step.form.value for step in steps]


def model_of(nodes, x, y, constants, opset: int = 17) -> onnx.ModelProto:
    """x, y: shapes of the input and the output, None for one that is not stated."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def transform(window, step: int, *, onesided: int = 1, rank: int = 2, then=()) -> onnx.ModelProto:
    """Fourier transforms of frames of signals, and what else is done with them."""
    last = "y" if not then else "f"
    nodes = [helper.make_node("STFT", ["x", "step", "window"], [last], "stft", onesided=onesided), *then]
    constants = {"step": np.int64(step), "window": np.asarray(window, np.float32)}
    return model_of(nodes, ["b", "n", 1][:rank], None, constants)
