"""One linear inside a region: its product once for each block, or once for a stack of blocks of equal shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....ir.axes.region import Region
from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.graph.shapes import shape_of
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.decomposition import Decomposition, Indices
from ....ir.reason import Cause, Reason
from ..linear.select import selection
from ..nodes.emitter import Emitter
from ..nodes.primitives import bias_of
from ..nodes.weights import BlockWeights
from .cut import UNEQUAL, Group, RegionCut

__all__ = ["RegionLinear", "picked_inputs", "role_of", "why_not_linear"]

SHAPES = 15  # operator set from which Shape takes a part, and a Reshape can be told that a zero is an empty axis


def role_of(group: Group) -> str:
    """What the nodes of some blocks are called.

    >>> role_of((2,)), role_of((0, 1, 2))
    ('block.2', 'blocks.0-2')
    """
    return f"block.{group[0]}" if len(group) == 1 else f"blocks.{group[0]}-{group[-1]}"


def why_not_linear(region: Region, cut: RegionCut, linear: Linear, found: Decomposition) -> Reason | None:
    """Why the blocks of one linear cannot be had in groups, of what enters the region or is computed in it."""
    internal = region.is_internal(linear)
    stacked = max(map(len, cut.groups)) > 1
    uneven = any(len({found.blocks[index].inputs.size for index in group}) > 1 for group in cut.groups)
    if uneven and not internal:
        multiplied: Reason | None = UNEQUAL
    else:
        multiplied = _why_not_multiplied(linear, stacked=stacked, features_first=cut.blocks.features_first)
    copied = _why_not_copied(linear)
    if not (multiplied or copied):
        return None  # without a look at the weight
    copies = not internal and picked_inputs(linear, found, region.constants) is not None
    return copied if copies else multiplied


def picked_inputs(linear: Linear, found: Decomposition, constants: Constants) -> list[Indices] | None:
    """The inputs that the outputs of each block are copies of, where blocks share inputs and the linear is a selection;
    None for all others."""
    index = selection(linear.canonical(constants)) if found.shared.size else None
    return None if index is None else [index[block.outputs] for block in found.blocks]


def _why_not_multiplied(linear: Linear, *, stacked: bool, features_first: bool) -> Reason | None:
    """Why the blocks of a linear cannot be multiplied, one at a time or several stacked; None when they can."""
    if not stacked:
        return None
    if linear.alpha != 1 or linear.beta != 1:
        return Reason(Cause.BLOCKS, "a product with a factor of its own cannot be stacked")
    flat = features_first or len(shape_of(linear.output) or ()) == 2
    if flat or linear.opset >= SHAPES or _is_told(_lead(linear)):
        return None
    told = f"operator set {linear.opset} cannot restore several extents that are decided at run time"
    return Reason(Cause.OPERATOR_SET, told)


def _why_not_copied(linear: Linear) -> Reason | None:
    """Why the features that a selection picks cannot be taken as they are; None when they can."""
    scaled = linear.alpha != 1 or linear.beta != 1
    return Reason(Cause.BLOCKS, "a selection with a factor of its own") if scaled else None


def _lead(linear: Linear) -> list[Any]:
    """The extents of an activation before its features: a number, a name, or None."""
    known = shape_of(linear.activation)
    assert known is not None
    return [extent if isinstance(extent, int) else extent.value for extent in list(known)[:-1]]


def _is_told(lead: Sequence[Any]) -> bool:
    """Whether a Reshape to some extents can be told by numbers, of which one may be left open."""
    return sum(not isinstance(extent, int) for extent in lead) <= 1 and 0 not in lead


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionLinear:
    """A linear of a region, as it is emitted.

    features_first: whether features come first, in two dimensions; shared: what was computed for other nodes and serves
    here as well, added to; bare: whether its bias is added to what leaves the region, rather than to the products.
    """

    linear: Linear
    found: Decomposition
    emitter: Emitter
    constants: Constants
    features_first: bool
    shared: dict[Any, ir.Value]
    bare: bool = False

    def products(self, groups: Sequence[Group], pieces: Sequence[ir.Value]) -> list[ir.Value]:
        """The product of each group with its piece of the activation, bias included."""
        weights = BlockWeights(self.linear, self.constants, outputs_first=self.features_first or self.linear.transposed)
        return [
            self._alone(group, piece, weights) if len(group) == 1 else self._stacked(group, piece)
            for group, piece in zip(groups, pieces, strict=True)
        ]

    def copies(self, groups: Sequence[Group], pieces: Sequence[ir.Value]) -> list[ir.Value]:
        """What a selection makes of the features that it picks: the bias is added to them, nothing is multiplied."""
        return [self._added(group, piece, self._rank) for group, piece in zip(groups, pieces, strict=True)]

    @property
    def _rank(self) -> int:
        return len(shape_of(self.linear.output) or ())

    def _alone(self, group: Group, piece: ir.Value, weights: BlockWeights) -> ir.Value:
        linear, node, role = self.linear, self.linear.node, role_of(group)
        weight = weights.block(self.emitter, role, self.found.blocks[group[0]])
        weight_first = self.features_first or node.inputs[0] is linear.weight  # the latter in an Einsum
        operands = [weight, piece] if weight_first else [piece, weight]
        factors = {"alpha": linear.alpha} if linear.alpha != 1 else {}
        bias = self._bias(group, 2)
        if self._rank == 2 and (self.features_first or linear.op in ("MatMul", "Gemm")):
            turn = {"transB": 1} if linear.transposed and not self.features_first else {}
            if bias is None and not turn and not factors:
                return self.emitter.one("MatMul", operands, role)
            factors |= {"beta": linear.beta} if linear.beta != 1 and bias is not None else {}
            return self.emitter.node("Gemm", operands + ([bias] if bias else []), role, {**turn, **factors})[0]
        product = self.emitter.node(node.op_type, operands, role, dict(node.attributes), domain=node.domain)[0]
        return product if bias is None else self.emitter.one("Add", [product, bias], role)

    def _stacked(self, group: Group, piece: ir.Value) -> ir.Value:
        """One product of three dimensions; more are flattened around it, which is faster than to broadcast them, and
        ONNX Runtime does not broadcast empty ones."""
        role = role_of(group)
        canonical = self.linear.canonical(self.constants)
        parts = [canonical[np.ix_(b.inputs, b.outputs)] for b in (self.found.blocks[index] for index in group)]
        weight = self.emitter.constant(
            np.stack([part.T if self.features_first else part for part in parts]), f"{role}/weight"
        )
        if self.features_first:
            return self._added(group, self.emitter.one("MatMul", [weight, piece], role), 2)
        if self._rank == 2:
            return self._added(group, self.emitter.one("MatMul", [piece, weight], role), 2)
        shape, attributes = self._shape(group, piece, parts[0].shape[1])
        flat = self._reshape(piece, self.emitter.integers([len(group), -1, parts[0].shape[0]], f"{role}/flat"), role)
        made = self._added(group, self.emitter.one("MatMul", [flat, weight], role), 2)
        return self._reshape(made, shape, role, attributes)

    def _reshape(
        self, value: ir.Value, shape: ir.Value, role: str, attributes: dict[str, Any] | None = None
    ) -> ir.Value:
        return self.emitter.node("Reshape", [value, shape], role, attributes or {})[0]

    def _shape(self, group: Group, piece: ir.Value, features: int) -> tuple[ir.Value, dict[str, Any]]:
        """The extents of a stack of results, and how a Reshape is to read them."""
        emitter, role = self.emitter, role_of(group)
        lead = _lead(self.linear)
        if _is_told(lead):
            told = [extent if isinstance(extent, int) else -1 for extent in lead]
            return emitter.integers([len(group), *told, features], f"{role}/shape"), {}
        source: Any = self.linear.activation if None in lead else tuple(lead)
        if ("lead", source) not in self.shared:
            extents = emitter.one("Shape", [piece], role, start=1, end=-1)
            self.shared["lead", source] = extents
        count, last = (
            emitter.integers([n], f"{role}/{name}") for n, name in ((len(group), "count"), (features, "last"))
        )
        whole = emitter.one("Concat", [count, self.shared["lead", source], last], role, axis=0)
        whole.type = ir.TensorType(ir.DataType.INT64)
        return whole, {"allowzero": 1}

    def _added(self, group: Group, value: ir.Value, rank: int) -> ir.Value:
        bias = self._bias(group, rank)
        return value if bias is None else self.emitter.one("Add", [value, bias], role_of(group))

    def _bias(self, group: Group, rank: int) -> ir.Value | None:
        """The bias of the blocks, for values of that many dimensions besides the one of a stack."""
        bias = None if self.bare else bias_of(self.linear, self.constants)
        if bias is None:
            return None
        parts = [bias[self.found.blocks[index].outputs] for index in group]
        if self.features_first:
            parts = [part[:, None] for part in parts]
        elif len(group) > 1:
            parts = [part.reshape(*(1,) * (rank - 1), -1) for part in parts]
        return self.emitter.constant(parts[0] if len(parts) == 1 else np.stack(parts), f"{role_of(group)}/bias")
