"""A plan held against a model: every weight the one it was decided for, every edge inside a block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.linear import Linear
from ....ir.graph.recurrent import Recurrent
from ....ir.graph.survey import Survey
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import PlanError, Step
from ...connectivity.edges import edges
from ...decompose.fingerprint import fingerprint
from ...decompose.recurrent import edges_of_both, hidden_block, recurrent_hash
from ...lowering.linear.lowerings import ON_ANY, lowering_of
from ...lowering.protocol import why_not_plain
from ...lowering.target import Target

__all__ = ["verified", "verified_recurrents"]


def verified(step: Step, linears: dict[str, Linear], found: Survey, target: Target) -> Linear:
    """The linear that a step is about; raises PlanError where the step does not fit it."""
    linear = linears.get(step.node)
    if linear is None:
        raise PlanError(f"{step.node}: the model has no such linear, or the plan splits it twice; make a new plan")
    stored = linear.stored(found.constants)
    if linear.shape != step.shape or fingerprint(stored) != step.sha256:
        raise PlanError(f"{step.node}: the weight is not the one the plan was made for; make a new plan")
    lowering = ON_ANY if step.lowering == "region" else lowering_of(step.lowering)
    _check_plain(step)
    if reason := lowering.why_not(linear, None, target):
        raise PlanError(f"{step.node}: {reason}")
    if not step.decomposition.blocks:
        raise PlanError(f"{step.node}: the plan has no blocks to split into; set its lowering to 'dense'")
    if reason := lowering.why_not(linear, step.decomposition, target):
        raise PlanError(f"{step.node}: {reason}")
    canonical = linear.as_matrix(stored)
    _check_cover(step, canonical)
    if not lowering.takes(canonical):
        raise PlanError(f"{step.node}: '{lowering.name}' needs {lowering.needs}; use '{ON_ANY.name}'")
    return linear


def verified_recurrents(found: Survey, steps: Mapping[str, Step]) -> dict[ir.Node, list[Recurrent]]:
    """All directions of each recurrent node of which at least one is split, the steps checked."""
    known = {way.address: way for way in found.recurrents}
    for step in steps.values():
        if step.node not in known:
            raise PlanError(f"{step.node}: the model has no such recurrent operator; make a new plan")
        _check_recurrent(step, known[step.node], found)
    nodes: dict[ir.Node, list[Recurrent]] = {known[address].node: [] for address in steps}
    for way in found.recurrents:
        if way.node in nodes:
            nodes[way.node].append(way)
    return nodes


def _check_plain(step: Step) -> None:
    """Blocks of several operators, and those of a recurrent one, are computed by what knows no residual entries and no
    sums."""
    beyond_one = step.lowering in ("region", "cells")
    if beyond_one and (reason := why_not_plain(step.lowering, step.decomposition)):
        raise PlanError(f"{step.node}: {reason}")


def _check_recurrent(step: Step, way: Recurrent, found: Survey) -> None:
    _check_plain(step)
    W, R = way.stored(found.constants)
    if way.shape != step.shape or recurrent_hash(W, R, way.direction) != step.sha256:
        raise PlanError(f"{step.node}: the weights are not those the plan was made for; make a new plan")
    if step.decomposition.dormant_outputs.size:
        unit = int(step.decomposition.dormant_outputs[0])
        raise PlanError(f"{step.node}: hidden unit {unit} belongs to no block, but its bias changes it; give it to one")
    for index, block in enumerate(step.decomposition.blocks):
        states = block.inputs[block.inputs >= way.features] - way.features
        if not np.array_equal(states, hidden_block(block, way.features).hidden):
            raise PlanError(
                f"{step.node}: block {index} reads other states than it computes; its inputs must be features and then "
                f"each of its outputs once more, {way.features} higher"
            )
    _check_cover(step, edges_of_both(W, R))


def _check_cover(step: Step, weight: npt.NDArray[Any]) -> None:
    """Every edge of a canonical weight must lie inside a block: a plan edited by hand must not drop one."""
    found = step.decomposition
    if found.split_k or found.residual:
        left = (edges(weight) & ~found.inside()).any(axis=0)
    else:
        left = np.zeros(step.shape[1], bool)
        for block in found.blocks:
            outside = np.ones(step.shape[0], bool)
            outside[block.inputs] = False
            left[block.outputs] = edges(weight[np.ix_(outside, block.outputs)]).any(axis=0)
        dormant = found.dormant_outputs
        left[dormant] = edges(weight[:, dormant]).any(axis=0)
    if left.any():
        raise PlanError(
            f"{step.node}: output {int(np.argmax(left))} reads an input outside its block; the blocks would lose "
            "that weight, so correct them or make a new plan"
        )
