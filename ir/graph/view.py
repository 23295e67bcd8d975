"""The view of a model that plans are made on and carried out on: a copy, functions inlined, shapes inferred."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..onnx_ir import onnx_ir as ir
from ..reason import Cause
from .functions import FunctionId, inline
from .shapes import infer_shapes
from .survey import Survey, survey

__all__ = ["View", "glance", "view"]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A private copy of a model, what was found in it, and which nodes came out of which local function."""

    model: ir.Model
    found: Survey
    origins: dict[ir.Node, FunctionId]

    @property
    def lacks_ranks(self) -> bool:
        """Whether some activation has no rank that the model states or that could be inferred."""
        unknown = any(linear.layout.rank is None for linear in self.found.linears)
        return unknown or any(skip.reason.cause is Cause.UNKNOWN_RANK for skip in self.found.skipped)


def view(model: ir.Model, functions: Collection[FunctionId] = ()) -> View:
    """Copy the graph (its weights are shared), put the bodies of `functions` in place of their calls, infer shapes.

    Deterministic, so that addresses in a plan mean the same when it is carried out.
    """
    copy, origins = inline(model, functions)
    infer_shapes(copy)
    return View(copy, survey(copy), origins)


def glance(model: ir.Model, functions: Collection[FunctionId] = ()) -> View:
    """The same without inferring shapes, and without a copy where none is needed: enough to see that nothing splits."""
    seen, origins = inline(model, functions) if functions else (model, {})
    return View(seen, survey(seen), origins)
