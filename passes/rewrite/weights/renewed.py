"""A plan for a model whose weights are others, with the same blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....ir.graph.view import view
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Plan
from ...decompose.fingerprint import fingerprint

__all__ = ["renewed"]


def renewed(plan: Plan, model: ir.Model) -> Plan:
    """The plan that splits a model as another one splits the one that it was made for, whose weights were others.

    model: with all that the plan does before anything is split done (see `planned_view`), so that the plan that is
    made does nothing of it again. Its steps know the weights of now; blocks, regions and lowerings stay. A step about
    what is no linear of the model stays as it is, and is refused where it is carried out.
    """
    found = view(model).found
    linears = {one.address: one for one in found.linears}
    steps = []
    for step in plan.steps:
        linear = linears.get(step.node)
        if linear is not None and linear.shape == step.shape:
            stored = linear.stored(found.constants)
            edges = int(np.count_nonzero(linear.as_matrix(stored)))
            step = replace(step, nonzeros=edges, sha256=None if step.sha256 is None else fingerprint(stored))
        steps.append(step)
    return replace(
        plan, steps=tuple(steps), annealing=(), effect="", preparations=(), refused=(), reorderings=(), inline=()
    )
