"""The values of all branches at one place as one value, and the nodes of all branches at one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.graph.constants import Constants
from ....ir.graph.node import NodeView
from ....ir.onnx_ir import onnx_ir as ir
from .piece import dims
from .recipe import Fixed, Made, Ref, integers
from .signature import Signatures

__all__ = ["Kind", "Pack", "Packed", "Products", "Result", "result_of"]

# 'same': every branch reads this value; 'fixed': constants; 'stack': branch i lies at place i of a new first axis;
# 'join': the branches follow one another on the last axis; 'turned': a stack of the transposes of matrices.
Kind: TypeAlias = Literal["same", "fixed", "stack", "join", "turned"]
Result: TypeAlias = "tuple[Ref, Kind] | None"  # what the nodes of a pack make together, None where they cannot
Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """Products weight (B, N, K) · source (B, K, M) + bias (B, N, 1), all times a factor, of which values are sums."""

    source: Made
    weight: Fixed
    bias: Fixed | None
    factor: float


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """One value of each branch, and what holds them all; each: how many branches follow one another that have one
    value, where that is there once; products: of which they are sums, each in one of them."""

    values: tuple[ir.Value, ...]
    kind: Kind
    ref: Ref = None
    each: int = 1
    products: Products | None = None

    @property
    def rank(self) -> int | None:
        """Axes of the value of one branch, where that is known."""
        known = self.shape
        return None if known is None else len(known)

    @property
    def shape(self) -> tuple[int | None, ...] | None:
        """Extents of the value of one branch, as far as they are known."""
        return dims(self.values[0])


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """A node of each branch, alike, and what their rules need: constants, signatures and the operator set.

    turns: whether matrices are held as their transposes, 'turned', where that can be.
    """

    nodes: tuple[ir.Node, ...]
    constants: Constants
    signatures: Signatures
    opset: int
    turns: bool = False

    @property
    def view(self) -> NodeView:
        """The node of the first branch."""
        return NodeView(self.nodes[0], self.constants)

    @property
    def lanes(self) -> int:
        """How many branches there are."""
        return len(self.nodes)

    @property
    def output(self) -> ir.Value:
        """What the node of the first branch makes."""
        return result_of(self.nodes[0])

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the nodes."""
        return dict(self.nodes[0].attributes)

    def made(self, op: str, *inputs: Ref, like: ir.Value | None = None, **attributes: Any) -> Made:
        """A new node over all branches; like: a value of the first one, that of the nodes themselves else."""
        return Made(op, inputs, like or self.output, self.lanes, attributes)

    def again(self, *inputs: Ref) -> Made:
        """The operator of the nodes with its attributes on other inputs."""
        first = self.nodes[0]
        return Made(str(first.op_type), inputs, self.output, self.lanes, self.attributes, str(first.domain))

    def moved(self, op: str, value: Ref, axes: Sequence[int], *, like: ir.Value | None = None) -> Made:
        """A Squeeze or an Unsqueeze."""
        if self.opset < 13:
            return self.made(op, value, like=like, axes=list(axes))
        return self.made(op, value, integers(axes, "axes"), like=like)

    def extents(self, value: Ref, count: int, behind: Sequence[int]) -> Made:
        """The first extents of a value, as they are when the model runs, and others behind them."""
        every = Made("Shape", (value,), self.output, 0)
        first = Made("Gather", (every, integers(range(count), "places")), self.output, 0, {"axis": 0})
        return Made("Concat", (first, integers(behind, "extents")), self.output, 0, {"axis": 0})

    def equal(self, operand: Packed) -> bool:
        """Whether the constants of all branches hold the same."""
        first, *rest = operand.values
        return all(one is first or self.signatures.holds(one) == self.signatures.holds(first) for one in rest)

    def shape_of(self, operand: Packed) -> tuple[int, ...]:
        """The shape of each of some constants."""
        return self.constants.describe(operand.values[0])[0]

    def stacked_constant(self, operand: Packed, rank: int, *, transposed: bool = False) -> Fixed | None:
        """Constants of all branches along a new first axis, before `rank` others; None where they do not fit."""
        shape = self.shape_of(operand)
        if len(shape) > rank:
            return None
        own = shape[::-1] if transposed else shape
        full = (1,) * (rank - len(shape)) + own

        def make() -> Array:
            arrays = (self.constants.read(value) for value in operand.values)
            return np.stack([(one.T if transposed else one).reshape(full) for one in arrays])

        return Fixed((self.lanes, *full), make, "stack")

    def turned_constant(self, operand: Packed, *, transposed: bool = False, each: int = 1) -> Fixed:
        """The transposes of constant matrices on a new first axis, of vectors as columns; each: so many in a row below
        one another."""
        shape = self.shape_of(operand)
        n = 1 if not shape else shape[0] if transposed else shape[-1]
        k = 1 if len(shape) < 2 else shape[1] if transposed else shape[0]

        def make() -> Array:
            arrays = (self.constants.read(value) for value in operand.values)
            turned = [one if transposed else one.reshape(k, n).T for one in arrays]
            return np.stack(turned).reshape(self.lanes // each, each * n, k)

        return Fixed((self.lanes // each, each * n, k), make, "turned")

    def joined_constant(self, operand: Packed, width: int, *, transposed: bool = False) -> Fixed:
        """Constants of all branches one after another on their last axis, of `width` places each."""
        shape = self.shape_of(operand)
        shape = shape[::-1] if transposed else shape
        full = (*shape[:-1], width)

        def make() -> Array:
            arrays = (self.constants.read(value) for value in operand.values)
            wide = [np.broadcast_to(one.T if transposed else one, full) for one in arrays]
            return np.concatenate(wide, axis=-1)

        return Fixed((*shape[:-1], width * self.lanes), make, "join")

    def stacked(self, operand: Packed) -> Ref:
        """The values of all branches on a new first axis; None where they are not known to differ, or have no rank."""
        if operand.each > 1:
            return None
        if operand.kind == "turned":
            return self.made("Transpose", operand.ref, like=operand.values[0], perm=[0, 2, 1])
        if operand.kind != "join":
            return operand.ref if operand.kind == "stack" else None
        shape, like = operand.shape, operand.values[0]
        if shape is None or shape[-1] is None:
            return None
        apart = (*(0,) * (len(shape) - 1), self.lanes, shape[-1])
        split = self.made("Reshape", operand.ref, integers(apart, "shape"), like=like)
        rank = len(shape)
        return self.made("Transpose", split, like=like, perm=[rank - 1, *range(rank - 1), rank])


def result_of(node: ir.Node) -> ir.Value:
    """The first result of a node that somebody reads, its first where nobody reads any."""
    return next((value for value in node.outputs if value.uses() or value.is_graph_output()), node.outputs[0])
