"""Copies of a model in which Fourier transforms are computed in double precision: what their exact results come to."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ....ir.graph.constants import Constants
from ....ir.graph.operators import TRANSFORMS, is_standard
from ....ir.io.tensors import graphs
from ....ir.onnx_ir import onnx_ir as ir
from ...lowering.nodes.emitter import Names
from .exact_frames import widen_frames

__all__ = ["transforms", "widened"]

WIDE = "double"
WINDOW = 2  # the operand that has the type of the signal


def transforms(model: ir.Model) -> int:
    """How many Fourier transforms of single precision a model computes."""
    return sum(1 for _ in _narrow(model))


def widened(model: ir.Model, framing: Collection[str] = ()) -> ir.Model:
    """A copy in which they are computed in double precision, of the same signals and windows, and rounded once.

    framing: addresses of convolutions of one channel that are computed so as well.
    """
    copy = model.clone()
    names = Names(copy)
    widen_frames(copy, framing, names)
    for node in [*_narrow(copy)]:
        for place in (0, WINDOW) if node.op_type == "STFT" else (0,):
            value = node.inputs[place] if place < len(node.inputs) else None
            if value is not None:
                node.replace_input_with(place, _cast(node, value, ir.DataType.DOUBLE, names, before=True))
        output = node.outputs[0]
        readers, is_result = list(output.uses()), output.is_graph_output()
        rounded = _cast(node, output, ir.DataType.FLOAT, names, before=False)
        for reader, place in readers:
            reader.replace_input_with(place, rounded)
        if is_result:
            assert node.graph is not None
            rounded.name, output.name = output.name, names.fresh(f"{output.name}/{WIDE}")
            rounded.type, rounded.shape = output.type, output.shape
            outputs = node.graph.outputs
            for place, value in enumerate(outputs):
                if value is output:
                    outputs[place] = rounded
        output.type = ir.TensorType(ir.DataType.DOUBLE)
    return copy


def _narrow(model: ir.Model) -> Iterator[ir.Node]:
    constants = Constants(model)
    for graph in graphs(model):
        for node in graph:
            if node.op_type not in TRANSFORMS or not is_standard(node):
                continue
            window = node.inputs[WINDOW] if node.op_type == "STFT" and len(node.inputs) > WINDOW else None
            known = node.inputs[0] if window is None else window
            if known is None:
                continue
            # Exporters hold windows in Constant nodes, of the results of which models state no types.
            dtype = constants.describe(known)[1] if known in constants else known.dtype
            if dtype == ir.DataType.FLOAT:
                yield node


def _cast(node: ir.Node, value: ir.Value, dtype: ir.DataType, names: Names, *, before: bool) -> ir.Value:
    """A value in another type, converted before or behind a node."""
    result = ir.Value(
        name=names.fresh(f"{value.name}/{dtype.name.lower()}"), type=ir.TensorType(dtype), shape=value.shape
    )
    attributes = [ir.AttrInt64("to", int(dtype))]
    cast = ir.Node(
        "", "Cast", [value], attributes, outputs=[result], name=names.fresh(f"{node.name or value.name}/Cast")
    )
    assert node.graph is not None
    (node.graph.insert_before if before else node.graph.insert_after)(node, cast)
    return result
