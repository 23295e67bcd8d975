"""Models run with some of their values as outputs beside their own."""

from __future__ import annotations

import onnx
from onnx import helper

from scission.runtime.ort.library import onnxruntime

__all__ = ["run"]


def run(model, feeds, *more):
    """The outputs of a model, and some values beside them, on one thread."""
    if more:
        model = onnx.ModelProto.FromString(model.SerializeToString())
        model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in more)
    options = onnxruntime().SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime().InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)
