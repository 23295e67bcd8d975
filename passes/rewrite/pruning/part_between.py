"""What a model computes between some of its values, as a model of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ....ir.onnx_ir import onnx_ir as ir

__all__ = ["part_between"]

OLDEST = 8  # version of the IR of a model that states none


def part_between(model: ir.Model, entering: Mapping[str, tuple[ir.DataType, int]], leaving: Sequence[str]) -> ir.Model:
    """The nodes of the main graph that compute the values `leaving` out of those `entering`, and their constants.

    entering: by name the type of its numbers and its rank, extents stay open. Raises ValueError where the part reads
    something else that varies.
    """
    graph = model.graph
    values = ir.convenience.create_value_mapping(graph, include_subgraphs=False)
    part = ir.convenience.extract(graph, [values[name] for name in entering], [values[name] for name in leaving])
    for value in part.inputs:
        dtype, rank = entering[value.name or ""]
        value.type, value.shape = ir.TensorType(dtype), ir.Shape([None] * rank)
    functions = [function.clone() for function in model.functions.values()]
    return ir.Model(part, ir_version=model.ir_version or OLDEST, functions=functions)
