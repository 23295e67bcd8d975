"""The view of a model that plans are made on and carried out on: a copy, functions inlined, ranks known."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .functions import FunctionId, inline
from .model import graphs
from .onnx_ir import onnx_ir as ir
from .survey import Survey, survey

__all__ = ["View", "view"]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A private copy of a model, what was found in it, and which nodes came out of which local function."""

    model: ir.Model
    found: Survey
    origins: dict[ir.Node, FunctionId]


def view(model: ir.Model, functions: Collection[FunctionId] = (), *, read_only: bool = False) -> View:
    """Copy the graph (its weights are shared), put the bodies of `functions` in place of their calls, and infer shapes
    where an activation has no rank. Deterministic, so that addresses in a plan mean the same when it is carried out.

    read_only: the model itself will do where nothing has to be changed for that.
    """
    if read_only and not functions and not _lacks_ranks(found := survey(model)):
        return View(model, found, {})
    copy, origins = inline(model, functions)
    found = survey(copy)
    if _lacks_ranks(found):
        _fill_shapes(copy)
        found = survey(copy)
    return View(copy, found, origins)


def _lacks_ranks(found: Survey) -> bool:
    return any(linear.layout.rank is None for linear in found.linears) or any("rank" in s.reason for s in found.skipped)


def _fill_shapes(model: ir.Model) -> None:
    """Give values without a shape the one that ONNX infers; what the model says itself is never overridden."""
    from onnx_ir.passes.common import ShapeInferencePass

    scratch = model.clone()
    ShapeInferencePass(check_type=False, strict_mode=False)(scratch)
    for graph, inferred in zip(graphs(model), graphs(scratch), strict=True):
        for node, twin in zip(graph, inferred, strict=True):
            for value, known in zip(node.outputs, twin.outputs, strict=True):
                if value.shape is None and known.shape is not None and not value.is_graph_output():
                    value.shape = known.shape
                    value.type = value.type or known.type
