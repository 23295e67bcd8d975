"""A model of ONNX as a module of torch, its linears as the blocks of a plan."""

from __future__ import annotations

from collections.abc import Iterable

from ...ir.given.sources import Source
from ...ir.graph.view import view
from ...ir.io.load import load
from ...ir.plan.plan import Plan, PlanError, require_plan
from ...passes.rewrite.prepare import planned_view
from ...passes.rewrite.rewrite import rewrite
from .interpreter.interpreted import Interpreted, Written
from .interpreter.program import program_of
from .interpreter.roles import roles_of
from .interpreter.unsupported import UnsupportedOperatorError

__all__ = ["to_torch"]


def to_torch(model: Source, plan: Plan | None = None) -> Interpreted:
    """A module that computes what a model computes, in whose place it is trained; `to_onnx` writes it back.

    model: a path, bytes, ModelProto, onnx_ir.Model or what else scission takes; plan: made for that model: what it does
    before anything is split is done, and each linear that it splits alone, and that has its weight for itself, is a
    `BlockLinear` or `CoverLinear`; other weights are parameters whose entries outside of their blocks stay zero. None
    splits nothing. Trained are weights and biases of linears, and scales and shifts of norms; tables that are looked
    up, masks and single numbers stay as they are, as buffers. Operators compute as in inference: nothing is dropped,
    and norms of batches use the means that are stored. Inputs are the model's, in its order or by name.
    Raises UnsupportedOperatorError, which lists every node that there is no rule for in torch, PlanError where the plan
    is for another model, and ModelError where that cannot be read.

    >>> from onnx import helper, numpy_helper
    >>> import numpy as np, scission, torch
    >>> W = np.kron(np.eye(2), np.ones((2, 2))).astype(np.float32)
    >>> infos = [helper.make_tensor_value_info(name, 1, ["n", 4]) for name in "xy"]
    >>> node = helper.make_node("MatMul", ["x", "W"], ["y"], name="product")
    >>> graph = helper.make_graph([node], "g", infos[:1], infos[1:], [numpy_helper.from_array(W, "W")])
    >>> proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    >>> module = to_torch(proto, scission.plan(proto, provider="cpu", force=True))
    >>> module.blocks["product"], module(torch.eye(4))[0].tolist()
    (BlockLinear(4x4, blocks=2, mac_share=0.5), [1.0, 1.0, 0.0, 0.0])
    """
    loaded = load(model)
    try:
        if plan is not None:
            rewrite(loaded.graph, require_plan(plan))  # refuses what is not for this model, weight by weight
        seen = view(loaded.graph) if plan is None else planned_view(loaded.graph, plan)
    except PlanError as error:
        raise PlanError(f"{loaded.name}: ", *error.parts) from error
    steps = {} if plan is None else {step.node: step for step in plan.steps}
    roles = roles_of(seen.model, seen.found, steps)
    addresses = {node: role.linear.address for node, role in roles.blocks.items()}
    try:
        program = program_of(seen.model, seen.found.constants, roles)
    except UnsupportedOperatorError as error:
        raise UnsupportedOperatorError(loaded.name, error.operators) from None
    blocks = dict(zip(_names(addresses.values()), roles.blocks.values(), strict=True))
    whole = dict(zip(_names(str(value.name) for value in roles.whole), roles.whole, strict=True))
    return Interpreted(program, roles, Written(model, seen.model, plan, seen.found, blocks, whole))


def _names(wished: Iterable[str]) -> list[str]:
    """Names as torch takes them: without a dot, none empty, each once."""
    found: dict[str, None] = {}
    for name in wished:
        name = name.replace(".", "/") or "unnamed"
        while name in found:
            name += "'"
        found[name] = None
    return list(found)
