"""Weights without the edges that an annealing removes: the only lossy rewrite."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.errors import Remedy
from ...ir.graph.linear import Linear
from ...ir.graph.shapes import correct_shapes
from ...ir.graph.survey import Survey
from ...ir.graph.view import view
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.annealing import Annealing
from ...ir.plan.plan import PlanError
from ...ir.provenance import ANNEALED
from ..anneal.obstacle import obstacle
from ..decompose.fingerprint import fingerprint
from ..lowering.nodes.emitter import Emitter, Names
from .edit import drop_unread, inherit, name_by_address, register

__all__ = ["remove_edges"]


def remove_edges(
    model: ir.Model,
    annealing: Sequence[Annealing],
    refitted: Mapping[str, npt.NDArray[Any]] | None = None,
    *,
    effect: str = "",
) -> ir.Model:
    """A copy of the model without the weights that an annealing removes; the only lossy step, and none is made twice.

    refitted: canonical weights (K, N) by address, of those whose kept entries were fitted again; effect: what all of it
    was measured to do, for the metadata. Residual entries become a thin product beside that of the blocks, added to it.
    Raises PlanError when a node is missing, its weight is another, or was refitted and is not given; AnnealingError
    when a mask is damaged.
    """
    seen = view(model)
    copy, found = seen.model, seen.found
    linears = {linear.address: linear for linear in found.linears}
    names = Names(copy)
    if any(one.residual for one in annealing):
        name_by_address(found.linears, names)
    made: dict[Any, ir.Value] = {}  # equal weights stay one
    now: dict[ir.Value, ir.Value] = {}
    removed = 0  # counted, since a plan may have been edited by hand
    for one in annealing:
        linear = linears.pop(one.node, None)
        if linear is None:
            raise PlanError(f"{one.node}: the model has no such linear to anneal, or the plan does it twice")
        stored = found.constants.read(linear.weight)
        if linear.shape != one.shape or fingerprint(linear.stored(found.constants)) != one.sha256:
            raise PlanError(f"{one.node}: the weight is not the one that annealing was decided for; make a new plan")
        if one.refitted and (refitted is None or one.node not in refitted):
            raise PlanError(
                f"{one.node}: its weights were fitted again on data, which no plan holds; run ",
                Remedy("`scission.optimize`", "`scission optimize`"),
                " again",
            )
        if reason := obstacle(linear, residual=bool(one.residual)):
            raise PlanError(f"{one.node}: {reason}")
        activation = now.get(linear.activation, linear.activation)
        linear = replace(linear, activation=activation)
        emitter = Emitter(linear, names)
        key = None if one.refitted else (linear.weight, linear.transposed, one.mask, one.blocks, one.residual)
        weight = made.get(key) if key is not None and not linear.in_function else None
        if weight is None:
            canonical = refitted[one.node] if refitted and one.refitted else linear.canonical(found.constants)
            inside = one.kept()
            if any(inside[entry] for entry in one.residual):
                raise PlanError(
                    f"{one.node}: a residual entry lies inside the blocks and would count twice; make a new plan"
                )
            if canonical.shape != one.shape:
                raise PlanError(f"{one.node}: the refitted weight has shape {canonical.shape}, not {one.shape}")
            kept = np.where(inside, canonical, 0).astype(stored.dtype)
            weight = emitter.constant((kept.T if linear.transposed else kept).reshape(stored.shape), "annealed")
            made[key] = weight
        removed += _removed(linear.canonical(found.constants), one)
        old, new = _put_weight(copy, linear, one, found, weight, emitter)
        if new is not old:
            now[old] = new
    if annealing:
        correct_shapes(copy)
        copy.metadata_props[ANNEALED] = _annealing_note(annealing, removed, effect)
    return copy


def _removed(weight: npt.NDArray[Any], one: Annealing) -> int:
    """How many non-zero entries of a canonical weight an annealing removes."""
    residual = sum(bool(weight[entry] != 0) for entry in set(one.residual))
    return int(np.count_nonzero(weight)) - int(np.count_nonzero(weight[one.kept()])) - residual


def _put_weight(
    model: ir.Model, linear: Linear, one: Annealing, found: Survey, weight: ir.Value, emitter: Emitter
) -> tuple[ir.Value, ir.Value]:
    """Put an annealed weight in the place of the original; returns the linear's value before and after."""
    node, graph = linear.node, linear.node.graph
    assert graph is not None
    place, output = list(node.inputs).index(linear.weight), node.outputs[0]
    if not one.residual:
        register(model, linear, graph, emitter.constants, emitter.names, None)
        node.replace_input_with(place, weight)
        drop_unread(model, linear.weight)
        return output, output
    inputs = [weight if index == place else value for index, value in enumerate(node.inputs)]
    blocks = ir.Value(name=emitter.names.fresh(f"{output.name}/blocks"), type=output.type, shape=output.shape)
    product = ir.Node(
        node.domain,
        node.op_type,
        inputs,
        list(node.attributes.values()),
        overload=node.overload,
        outputs=[blocks],
        name=node.name,
        doc_string=node.doc_string,
        metadata_props=dict(node.metadata_props),
    )
    residual = np.array(one.residual)
    used, at = np.unique(residual[:, 0], return_inverse=True)
    canonical = linear.canonical(found.constants)
    thin = np.zeros((used.size, one.shape[1]), canonical.dtype)
    values = canonical[residual[:, 0], residual[:, 1]]
    thin[at, residual[:, 1]] = values if linear.alpha == 1 else (values * linear.alpha).astype(thin.dtype)
    axis = -1 if linear.layout.rank is None else linear.layout.rank - 1
    few = emitter.one("Gather", [linear.activation, emitter.integers(used, "residual/inputs")], "residual", axis=axis)
    apart = emitter.one("MatMul", [few, emitter.constant(thin, "residual/weight")], "residual")
    whole = emitter.one("Add", [blocks, apart], "residual")
    register(model, linear, graph, emitter.constants, emitter.names, None)
    inherit(whole, output)
    nodes = [product, *emitter.nodes]
    ir.convenience.replace_nodes_and_values(graph, node, [node], nodes, [output], [whole])
    drop_unread(model, linear.weight)
    return output, whole


def _annealing_note(annealing: Sequence[Annealing], removed: int, effect: str) -> str:
    """What an annealed model says of itself, as JSON."""
    tests = sorted({one.evidence.test for one in annealing})
    levels = sorted({one.evidence.level for one in annealing})
    note = {
        "annealed": True,
        "tests": tests,
        "levels": levels,
        "operators": len(annealing),
        "removed": removed,
        "refitted": any(one.refitted for one in annealing),
        "effect": effect or "not measured",
    }
    return json.dumps(note)
