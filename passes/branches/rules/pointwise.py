"""Operators that compute element by element: operands are brought to one kind, constants beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ....ir.graph.linear import only_use
from ....ir.graph.operators import FUSED_ACTIVATIONS, VECTOR_BIASED
from ....ir.onnx_ir import onnx_ir as ir
from ..packing.packed import Pack, Packed, Result
from ..packing.recipe import Fixed, Made, Ref

__all__ = ["pointwise"]

PARAMETERS = frozenset({"Clip"}) | VECTOR_BIASED  # further operands are no operands to broadcast


def pointwise(pack: Pack, operands: Sequence[Packed | None]) -> Result:
    """The operator over all branches at once."""
    first = operands[0]
    if first is None or (first.kind == "fixed" and pack.nodes[0].op_type in PARAMETERS):
        return None
    if pack.nodes[0].op_type in PARAMETERS or len(operands) == 1:
        return _unary(pack, first, operands[1:])
    if any(one is None for one in operands):
        return None
    present = [one for one in operands if one is not None]
    if any(one.kind == "join" for one in present) and (refs := _joined(pack, present)) is not None:
        return pack.again(*refs), "join"
    if any(one.kind == "turned" for one in present) and (refs := _turned(pack, present)) is not None:
        return pack.again(*refs), "turned"
    stacked = _stacked(pack, present)
    return None if stacked is None else (pack.again(*stacked), "stack")


def _unary(pack: Pack, first: Packed, rest: Sequence[Packed | None]) -> Result:
    if first.kind not in ("stack", "join", "turned") or first.each > 1:
        return None
    if any(one is not None and (one.kind != "fixed" or not pack.equal(one)) for one in rest):
        return None
    if pack.nodes[0].op_type in VECTOR_BIASED and first.kind != "stack":
        return None
    parameters = [None if one is None else one.values[0] for one in rest]
    inside = _inside(pack, first, parameters)
    return inside or pack.again(first.ref, *parameters), first.kind


def _inside(pack: Pack, first: Packed, parameters: Sequence[ir.Value | None]) -> Ref:
    """An activation right behind the convolution whose results it reads by views, so that ONNX Runtime computes it
    inside of that; None where it reads something else, or is not the only one to do so."""
    #     Conv ── Reshape ── Transpose ── Relu      ──►      Conv ── Relu ── Reshape ── Transpose
    if pack.nodes[0].op_type not in FUSED_ACTIVATIONS or any(only_use(value) is None for value in first.values):
        return None
    views, made = [], first.ref
    while isinstance(made, Made) and made.op in ("Reshape", "Transpose"):
        views.append(made)
        made = made.inputs[0]
    if not views or not isinstance(made, Made) or made.op != "Conv":
        return None
    found = pack.again(made, *parameters)
    for view in reversed(views):
        found = replace(view, inputs=(found, *view.inputs[1:]))
    return found


def _joined(pack: Pack, operands: Sequence[Packed]) -> list[Ref] | None:
    """The operands with the branches one after another on the last axis; None where that cannot be."""
    shape = next(one.shape for one in operands if one.kind == "join")
    if shape is None or shape[-1] is None:
        return None
    refs: list[Ref] = []
    for one in operands:
        own = one.shape if one.kind != "fixed" else pack.shape_of(one)
        if own is None or len(own) > len(shape):
            return None
        if one.kind == "join":
            if own[-1] != shape[-1]:
                return None
            refs.append(one.ref)
        elif one.kind == "stack":
            return None
        elif one.kind == "same":
            if own and own[-1] != 1:
                return None
            refs.append(one.ref)
        elif pack.equal(one) and (not own or own[-1] == 1):
            refs.append(one.values[0])
        elif own and own[-1] not in (1, shape[-1]):
            return None
        else:
            refs.append(pack.joined_constant(one, shape[-1]))
    return refs


def _turned(pack: Pack, operands: Sequence[Packed]) -> list[Ref] | None:
    """The operands as stacks of transposes, constant vectors as columns; None where that cannot be."""
    refs: list[Ref] = []
    for one in operands:
        if one.kind == "turned" and one.each == 1:
            refs.append(one.ref)
        elif one.kind == "fixed" and (len(pack.shape_of(one)) < 2 or pack.shape_of(one)[0] == 1):
            alone = pack.shape_of(one) in ((), (1,)) and pack.equal(one)
            refs.append(one.values[0] if alone else pack.turned_constant(one))
        else:
            return None
    return refs


def _stacked(pack: Pack, operands: Sequence[Packed]) -> list[Ref] | None:
    """The operands with the branches on a new first axis, shared ones as they are; None where that cannot be."""
    ranks = [len(pack.shape_of(one)) if one.kind == "fixed" else one.rank for one in operands]
    if None in ranks:
        return None
    rank = max(known for known in ranks if known is not None)
    refs: list[Ref] = []
    for one, own in zip(operands, ranks, strict=True):
        if one.kind == "same":
            refs.append(one.ref)
        elif one.kind == "fixed":
            refs.append(one.values[0] if pack.equal(one) else pack.stacked_constant(one, rank))
        else:
            refs.append(pack.stacked(one) if own == rank else None)
    differs = any(isinstance(ref, Fixed) for ref in refs) or any(one.kind not in ("same", "fixed") for one in operands)
    return None if None in refs or not differs else refs
