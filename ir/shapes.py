"""Shapes that follow from the inputs of a graph, beside those that it states of itself, which may be stale.

A model whose batch was made dynamic by hand often still says 1 in its value_info. Runtimes do not mind, but a rewrite
that believed it would.
"""

from __future__ import annotations

import logging

from .model import graphs
from .onnx_ir import onnx_ir as ir

__all__ = ["correct_shapes", "infer_shapes", "shape_of"]

KEY = "scission.shape"


def shape_of(value: ir.Value) -> ir.Shape | None:
    """The inferred shape of a value, where shapes were inferred, else the one that the model states."""
    shape: ir.Shape | None = value.meta.get(KEY, value.shape)
    return shape


def infer_shapes(model: ir.Model) -> None:
    """Infer the shape of every node's outputs afresh with ONNX's own inference; what the model states stays stated."""
    from onnx_ir.passes.common import ShapeInferencePass

    scratch = model.clone()
    for graph in graphs(scratch):
        for node in graph:
            for value in node.outputs:
                value.shape = None
    log = logging.getLogger("onnx_ir")
    level = log.level
    log.setLevel(logging.CRITICAL)  # a graph that cannot be inferred has no shapes then, which is all there is to say
    try:
        ShapeInferencePass(check_type=False, strict_mode=False)(scratch)
    finally:
        log.setLevel(level)
    for graph, inferred in zip(graphs(model), graphs(scratch), strict=True):
        for node, twin in zip(graph, inferred, strict=True):
            for value, known in zip(node.outputs, twin.outputs, strict=True):
                value.meta[KEY] = known.shape


def correct_shapes(model: ir.Model) -> None:
    """Where the stated shape of an intermediate value contradicts the inferred one, state what was inferred.

    ONNX Runtime believes value_info when it moves a Transpose, and a rewrite adds some.
    """
    for graph in graphs(model):
        for node in graph:
            for value in node.outputs:
                inferred = value.meta.get(KEY)
                if inferred is not None and value.shape is not None and not value.is_graph_output():
                    value.shape = _reconciled(value.shape, inferred)


def _reconciled(stated: ir.Shape, inferred: ir.Shape) -> ir.Shape:
    """The inferred shape, with stated extents where nothing was inferred."""
    if len(stated) != len(inferred):
        return inferred
    unknown = [not isinstance(dim, int) and dim.value is None for dim in inferred]
    return ir.Shape([old if open_ else new for old, new, open_ in zip(stated, inferred, unknown, strict=True)])
