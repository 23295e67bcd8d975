"""Carry out a plan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import onnx

from ...ir.given.sources import Program, Source
from ...ir.given.surgeon import SurgeonGraph
from ...ir.onnx_ir import collected_seldom
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.plan import Plan, PlanError, require_plan
from ...passes.rewrite.prepare import planned_view
from ...passes.rewrite.rewrite import rewrite
from ...passes.rewrite.verification.same_model import require_same_model
from .destination import Destination, Out

__all__ = ["apply"]


@overload
def apply(
    model: Source,
    plan: Plan,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = ...,
    custom_ops: Sequence[Path] = ...,
) -> Path: ...
@overload
def apply(
    model: bytes, plan: Plan, output: None = None, *, overwrite: bool = ..., custom_ops: Sequence[Path] = ...
) -> bytes: ...
@overload
def apply(
    model: onnx.ModelProto, plan: Plan, output: None = None, *, overwrite: bool = ..., custom_ops: Sequence[Path] = ...
) -> onnx.ModelProto: ...
@overload
def apply(
    model: ir.Model, plan: Plan, output: None = None, *, overwrite: bool = ..., custom_ops: Sequence[Path] = ...
) -> ir.Model: ...
@overload
def apply(
    model: Program, plan: Plan, output: None = None, *, overwrite: bool = ..., custom_ops: Sequence[Path] = ...
) -> Program: ...
@overload
def apply(
    model: SurgeonGraph, plan: Plan, output: None = None, *, overwrite: bool = ..., custom_ops: Sequence[Path] = ...
) -> SurgeonGraph: ...
def apply(
    model: Source,
    plan: Plan,
    output: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    custom_ops: Sequence[Path] = (),
) -> Out:
    """Carry out a plan. A model given as bytes, ModelProto, onnx_ir.Model, onnx_graphsurgeon.Graph or program of
    torch.onnx.export comes back as the same; one given as a path is written to `output`, which is returned.

    overwrite: replace an output that exists; custom_ops: libraries of custom operators that the model needs. With
    nothing to rewrite the result is the original, byte for byte. Raises PlanError when the plan was made for another
    model, ModelError when nothing takes the model, or the output exists or cannot be written, SessionError for a
    library that is none, ValueError for a file without an output.
    """
    require_plan(plan)
    place = Destination.of(model, output, overwrite, custom_ops)
    with collected_seldom(len(place.loaded.graph.graph)):
        try:
            changed = _carried_out(place.loaded.graph, plan)
        except PlanError as error:
            raise PlanError(f"{place.loaded.name}: ", *error.parts) from error
        if place.target is None:
            return place.as_given(changed)
        return place.write(changed)[0]


def _carried_out(graph: ir.Model, plan: Plan) -> ir.Model | None:
    """The model that a plan makes; None where it changes nothing."""
    if plan.changes or plan.annealing:
        return rewrite(graph, plan)
    require_same_model(graph, plan, planned_view(graph, plan).found)
    return None
