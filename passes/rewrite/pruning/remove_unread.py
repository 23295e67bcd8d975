"""Channels that nothing reads left out where sizes of inputs are known, which they need not be in the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ....ir.onnx_ir import onnx_ir as ir
from ...channels.find import find
from ...lowering.target import Target
from ..remove_channels import remove_channels

__all__ = ["at_shapes", "remove_unread"]


def at_shapes(model: ir.Model, shapes: Mapping[str, Sequence[int]]) -> ir.Model:
    """A copy of a model whose inputs are said to have these shapes, by name."""
    copy = model.clone()
    for value in copy.graph.inputs:
        if (value.name or "") in shapes:
            value.shape = ir.Shape(list(shapes[value.name or ""]))
    return copy


def remove_unread(model: ir.Model, shapes: Mapping[str, Sequence[int]]) -> ir.Model:
    """A copy of a model without the channels that exactly no weight reads, its inputs of the shapes that they had.

    shapes: of some inputs, by name, in which it is looked for: with open sizes it may be unknown which axis of a
    Reshape heads lie along. Numbers of channels alone are changed, no size that was assumed is written.
    """
    stated = {value.name: value.shape for value in model.graph.inputs}
    assumed = at_shapes(model, shapes)
    made = remove_channels(assumed, find(assumed, Target(), tuple, exact=True))
    for value in made.graph.inputs:
        value.shape = stated[value.name]
    return made
