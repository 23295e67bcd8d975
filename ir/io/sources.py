"""What a model may be given as, and what to give instead of anything else."""

from __future__ import annotations

import os
from typing import Any

import onnx

from ..errors import ScissionError
from ..onnx_ir import onnx_ir as ir

__all__ = ["SourceTypeError", "unwrapped"]

INSTEAD = (  # (module, class) of what is given by mistake, what to give
    (
        ("torch", "Module"),
        "export it first: torch.onnx.export(module, args, dynamo=True) gives a program that is taken",
    ),
    (("torch", "ScriptModule"), "export it first with torch.onnx.export, and give the file"),
    (("torch", "ExportedProgram"), "export it first: torch.onnx.export(program, dynamo=True) gives one that is taken"),
    (("onnx_graphsurgeon", "Graph"), "give onnx_graphsurgeon.export_onnx(graph)"),
    (("onnx_ir", "Graph"), "give the onnx_ir.Model that holds it: onnx_ir.Model(graph, ir_version=10)"),
    (("onnx", "GraphProto"), "give the model that holds it: onnx.helper.make_model(graph)"),
    (("onnx", "FunctionProto"), "give the model that holds it"),
    (("onnxruntime", "InferenceSession"), "give the file that it was opened from"),
    (("onnxscript", "OnnxFunction"), "give its model: function.to_model_proto()"),
    (("builtins", "bytearray"), "give bytes(model)"),
    (("builtins", "memoryview"), "give bytes(model)"),
)
KINDS = "give a path, bytes, onnx.ModelProto, onnx_ir.Model or the program of torch.onnx.export"


class SourceTypeError(ScissionError, TypeError):
    """Something that is no model; the message says what to give instead."""


def unwrapped(source: Any) -> Any:
    """A model as path, bytes, ModelProto or onnx_ir.Model; what torch.onnx.export returns is taken for its model.

    Raises SourceTypeError, a TypeError that says what to give, for anything else.

    >>> unwrapped("model.onnx")
    'model.onnx'
    >>> unwrapped(bytearray(b"..."))
    Traceback (most recent call last):
        ...
    scission.ir.io.sources.SourceTypeError: a bytearray is no model: give bytes(model)
    """
    if isinstance(source, (str, os.PathLike, bytes, onnx.ModelProto, ir.Model)):
        return source
    inner = getattr(source, "model", None)
    if type(source).__name__ == "ONNXProgram" and isinstance(inner, ir.Model):
        return inner
    if callable(getattr(source, "read", None)):
        raise SourceTypeError(f"a {type(source).__name__} is no model: give its path, or the bytes that it reads")
    bases = [(base.__module__.partition(".")[0], base.__name__) for base in type(source).__mro__]
    instead = next((what for kind, what in INSTEAD if kind in bases), KINDS)
    raise SourceTypeError(f"a {type(source).__name__} is no model: {instead}")
