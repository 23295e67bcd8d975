"""What a model may be given as, and what to give instead of anything else."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import onnx

from ..errors import ScissionError
from ..onnx_ir import onnx_ir as ir
from .surgeon import SurgeonGraph, exported, imported, is_surgeon_graph

__all__ = ["Program", "Source", "SourceTypeError", "rewrapped", "unwrapped"]


class Program(Protocol):
    """What torch.onnx.export returns: a model, beside the program of torch that it was made from."""

    model: ir.Model


Plain: TypeAlias = "str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model"
Source: TypeAlias = "Plain | Program | SurgeonGraph"

INSTEAD = (  # (module, class) of what is given by mistake, what to give
    (
        ("torch", "Module"),
        "export it first: torch.onnx.export(module, args, dynamo=True) gives a program that is taken",
    ),
    (("torch", "ScriptModule"), "export it first with torch.onnx.export, and give the file"),
    (("torch", "ExportedProgram"), "export it first: torch.onnx.export(program, dynamo=True) gives one that is taken"),
    (("onnx_ir", "Graph"), "give the onnx_ir.Model that holds it: onnx_ir.Model(graph, ir_version=10)"),
    (("onnx", "GraphProto"), "give the model that holds it: onnx.helper.make_model(graph)"),
    (("onnx", "FunctionProto"), "give the model that holds it"),
    (("onnxruntime", "InferenceSession"), "give the file that it was opened from"),
    (("onnxscript", "OnnxFunction"), "give its model: function.to_model_proto()"),
    (("builtins", "bytearray"), "give bytes(model)"),
    (("builtins", "memoryview"), "give bytes(model)"),
)
KINDS = (
    "give a path, bytes, onnx.ModelProto, onnx_ir.Model, onnx_graphsurgeon.Graph or the program of torch.onnx.export"
)


class SourceTypeError(ScissionError, TypeError):
    """Something that is no model; the message says what to give instead."""


def unwrapped(source: Any) -> Plain:
    """A model as path, bytes, ModelProto or onnx_ir.Model: the one in what torch.onnx.export returns, the one that an
    onnx_graphsurgeon.Graph says.

    Raises ModelError for a graph that cannot be exported, and for anything else SourceTypeError, a TypeError that says
    what to give.

    >>> unwrapped("model.onnx")
    'model.onnx'
    >>> unwrapped(bytearray(b"..."))
    Traceback (most recent call last):
        ...
    scission.ir.given.sources.SourceTypeError: bytearray is no model: give bytes(model)
    """
    if isinstance(source, (str, os.PathLike, bytes, onnx.ModelProto, ir.Model)):
        return source
    if _is_program(source):
        model: ir.Model = source.model
        return model
    if is_surgeon_graph(source):
        return exported(source)
    if callable(getattr(source, "read", None)):
        raise SourceTypeError(f"{type(source).__name__} is no model: give its path, or the bytes that it reads")
    bases = [(base.__module__.partition(".")[0], base.__name__) for base in type(source).__mro__]
    instead = next((what for kind, what in INSTEAD if kind in bases), KINDS)
    raise SourceTypeError(f"{type(source).__name__} is no model: {instead}")


def rewrapped(source: Any, changed: ir.Model, proto: Callable[[ir.Model], onnx.ModelProto]) -> Any:
    """A changed model in the form in which the source came; proto: makes a ModelProto of it, with all that it had.

    A path gives an onnx_ir.Model. A program of torch.onnx.export is copied, with the changed model in it.
    """
    if isinstance(source, onnx.ModelProto):
        return proto(changed)
    if isinstance(source, bytes):
        return proto(changed).SerializeToString()
    if is_surgeon_graph(source):
        return imported(proto(changed))
    if _is_program(source):
        program = copy.copy(source)
        program.model = changed
        if hasattr(program, "_inference_session"):
            program._inference_session = None  # it would run the model as it was
        return program
    return changed


def _is_program(source: Any) -> bool:
    return type(source).__name__ == "ONNXProgram" and isinstance(getattr(source, "model", None), ir.Model)
