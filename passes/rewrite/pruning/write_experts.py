"""Feed-forward networks written as experts: two products go, a router and the experts that it chooses come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.graph.shapes import correct_shapes, shape_of
from ....ir.graph.view import view
from ....ir.onnx_ir import onnx_ir as ir
from ...decompose.fingerprint import fingerprint
from ...experts.emit import FORMS, emit_experts
from ...experts.expert_split import ExpertError, ExpertSplit
from ...experts.find import ExpertPlace, find_places
from ...lowering.nodes.emitter import Emitter, Names
from ...lowering.nodes.features_first import enter_rows, leave_rows
from ...lowering.nodes.primitives import affine, bias_of
from ...lowering.nodes.sharing import Sharing
from ..edit import drop_unread, inherit, register

__all__ = ["write_experts"]


def write_experts(model: ir.Model, splits: Sequence[ExpertSplit], form: str | None = None) -> ir.Model:
    """A copy of the model in which these networks run as experts.

    form: 'dispatch' sorts rows by their experts, for many of them; 'gather' copies the weights of the experts that are
    chosen, for one row; None takes that where the graph fixes that there is one row, for it would copy as much for
    each of many. Names, types and shapes of the interface stay. Raises ExpertError where the model has
    no such network, or other weights.
    """
    if form not in (None, *FORMS):
        raise ExpertError(f"{form!r} is no form of experts; use one of {', '.join(FORMS)}")
    seen = view(model)
    places = {place.up.address: place for place in find_places(seen.found)[0]}
    names, sharing = Names(seen.model), Sharing()
    for split in splits:
        place = places.pop(split.up, None)
        if place is None or place.down.address != split.down:
            raise ExpertError(f"{split.up}: the model has no network there whose units could be experts")
        chosen = form or ("gather" if _rows(place.up) == 1 else "dispatch")
        _write(seen.model, seen.found.constants, place, split, chosen, (names, sharing))
    correct_shapes(seen.model)
    return seen.model


def _rows(up: Linear) -> int | None:
    """How many rows enter a network, where the graph fixes that."""
    count, shape = 1, shape_of(up.activation)
    for extent in () if shape is None else shape[:-1]:
        if not isinstance(extent, int):
            return None
        count *= extent
    return None if shape is None else count


def _write(
    model: ir.Model,
    constants: Constants,
    place: ExpertPlace,
    split: ExpertSplit,
    form: str,
    tools: tuple[Names, Sharing],
) -> None:
    up, down = place.up, place.down
    if (fingerprint(up.stored(constants)), fingerprint(down.stored(constants))) != split.sha256:
        raise ExpertError(f"{split.up}: the weights are not those that its experts were chosen for; choose them again")
    (d, H), out = up.shape, down.shape[1]
    if split.router.shape[0] != d or split.shared.size + split.groups.size != H:
        raise ExpertError(f"{split.up}: its experts are for another number of units than {H}, or of features than {d}")
    whole = replace(down, activation=up.activation, shape=(d, out), layout=up.layout)
    emitter = Emitter(whole, tools[0])
    bias = bias_of(up, constants)
    fitted = down.canonical(constants) if split.weight is None else split.weight
    weights = up.canonical(constants), np.zeros(H, np.float32) if bias is None else bias, fitted
    frame = enter_rows(emitter)
    made = emit_experts(emitter, frame.features, split, weights, form)
    result = affine(emitter, leave_rows(emitter, frame, made), constants, 0)
    graph, output = down.node.graph, down.node.outputs[0]
    assert graph is not None
    register(model, down, graph, emitter.constants, *tools)
    inherit(result, output)
    between = up.bias.node if up.bias is not None else None
    old = [up.node, *([between] if between is not None else []), place.relu, down.node]
    held = [value for node in old for value in node.inputs if value is not None and value in constants]
    ir.convenience.replace_nodes_and_values(graph, down.node, old, emitter.nodes, [output], [result])
    for value in held:
        drop_unread(model, value)
