"""The inputs of a model as ONNX Runtime would list them, told from its graph."""

from __future__ import annotations

import numpy as np

from ...ir.errors import option
from ...ir.graph.sizes import extent
from ...ir.graph.survey import survey
from ...ir.io.load import Model
from ...ir.onnx_ir import onnx_ir as ir
from ..ort.tensor_spec import TensorSpec
from .inputs import InputError, name_of

__all__ = ["spec_of"]


def spec_of(model: Model, *, given: bool = False) -> list[TensorSpec]:
    """The inputs of a model as ONNX Runtime would list them, without opening a session for it.

    An input of unknown rank that enters a linear is taken to be a batch of rows for it, one that enters a recurrent
    operator a batch of sequences; any other raises InputError, unless values are `given`, when it looks like a scalar.
    A dimension without a name has one by its input and place, such as 'x[0]', unless values are `given`. An optional
    tensor looks like that tensor.
    """
    spec = []
    for value in model.graph.graph.inputs:
        if value.const_value is not None:
            continue
        shape = value.shape if value.shape is not None else _row_shape(model, value)
        if shape is None and not given:
            where = f"{model.name}: input {value.name!r}"
            raise InputError(f"{where} has no rank to draw random values for; give real ones with ", option("inputs"))
        name = value.name or ""
        dims = tuple(
            known if isinstance(known, int) else known or (None if given else name_of(name, axis))
            for axis, known in enumerate(None if dim is None else extent(dim) for dim in shape or ())
        )
        kind, optional = value.type, isinstance(value.type, ir.OptionalType)
        if isinstance(kind, ir.OptionalType) and isinstance(kind.elem_type, ir.TensorType):
            kind = kind.elem_type
        spec.append(TensorSpec(name=name, dtype=_dtype_name(kind), shape=dims, optional=optional))
    return spec


def _row_shape(model: Model, value: ir.Value) -> tuple[int | None, ...] | None:
    """(any, K) for an input of unknown rank that enters a linear row by row, (any, any, I) for a recurrent operator."""
    if not isinstance(value.type, ir.TensorType):
        return None
    found = survey(model.graph)
    linears = (linear for linear in found.linears if linear.activation is value and linear.layout.kind == "rows")
    rows = next(((None, linear.shape[0]) for linear in linears), None)
    sequences = ((None, None, way.features) for way in found.recurrents if way.activation is value)
    return rows or next(sequences, None)


def _dtype_name(kind: ir.TypeProtocol | None) -> str:
    if not isinstance(kind, ir.TensorType):
        return str(kind)
    if kind.dtype in (ir.DataType.STRING, ir.DataType.UNDEFINED):
        return kind.dtype.name.lower()
    return np.dtype(kind.dtype.numpy()).name
