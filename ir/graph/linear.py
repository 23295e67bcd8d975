"""Linears: the nodes that compute y = alpha * x W + beta * c with a constant W, whatever operator spells them.

Where W is several matrices, one for each tap of a convolution's window or for each entry of a stack, the features that
one of them connects are connected: structure is that of all of them together, while blocks are cut out of each.

    taps of a 1x2 kernel      together        blocks
      x .      . .             x .            a 1x2 convolution of channel 0, one of channel 1
      . .      . x             . x
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..onnx_ir import onnx_ir as ir
from .constants import Constants
from .shapes import shape_of

__all__ = ["Bias", "Layout", "Linear", "Scope", "axes", "dequantises", "moves", "only_use", "scopes", "with_bias"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the features lie in what enters and leaves a linear.

    kind 'rows': on the last axis of a tensor of any rank, known or not. kind 'axes': anywhere in a tensor of known
    rank; `enter` transposes x to (features, others), `exit` transposes (features, others) to y, None where nothing
    has to move. kind 'conv': on axis 1, other axes are windows. rank: of x, None when unknown.
    """

    kind: str
    rank: int | None
    enter: tuple[int, ...] | None = None
    exit: tuple[int, ...] | None = None

    @property
    def axis_in(self) -> int:
        """The axis of x that features lie on, counted from the first; -1, the last, where the rank is not known.

        >>> Layout(kind="axes", rank=3, enter=(1, 0, 2)).axis_in, Layout(kind="rows", rank=None).axis_in
        (1, -1)
        """
        if self.kind == "axes":
            return self.enter[0] if self.enter else 0
        return self._fixed_axis

    @property
    def axis_out(self) -> int:
        """The axis of y that features lie on, counted as `axis_in` is."""
        if self.kind == "axes":
            return self.exit.index(0) if self.exit else 0
        return self._fixed_axis

    def from_last(self, axis: int) -> int:
        """One of these axes counted from the last, 1, which needs no rank where it is the last."""
        return 1 if self.rank is None else self.rank - axis

    @property
    def _fixed_axis(self) -> int:
        if self.kind == "conv":
            return 1
        return -1 if self.rank is None else self.rank - 1

    @property
    def boundary_transposes(self) -> int:
        """How many of its two ends take a Transpose to come to features-first layout and back: 0, 1 or 2."""
        if self.kind == "conv":
            return 0
        return 2 if self.kind == "rows" else (self.enter is not None) + (self.exit is not None)


def axes(rank: int, enter: int, exit_: int) -> Layout:
    """The layout with features on axis `enter` of x and axis `exit_` of y, other axes in the same order.

    >>> axes(2, 0, 0).enter, axes(2, 1, 0).enter, axes(3, 1, 1).exit
    (None, (1, 0), (1, 0, 2))
    """
    others = [axis for axis in range(rank) if axis != enter]
    back = [*range(1, exit_ + 1), 0, *range(exit_ + 1, rank)]
    return Layout(kind="axes", rank=rank, enter=moves([enter, *others]), exit=moves(back))


def moves(order: list[int]) -> tuple[int, ...] | None:
    """Axes in this order, as a Transpose has it; None where each stays where it is."""
    return None if order == sorted(order) else tuple(order)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bias:
    """A constant vector with one entry per output, added to the product.

    value: the constant; node: the Add that adds it, None when the operator itself does; via: the operator between
    the product and the Add ('Reshape', 'Cast'), in which case the Add stays where it is.
    """

    value: ir.Value
    node: ir.Node | None = None
    via: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linear:
    """One node with a constant weight, in canonical form y = alpha * x W + beta * c.

    address: where the node is (`Scope.address`); activation: x; weight: the constant as stored, canonical W of shape
    (K, N) is the stored matrix or its transpose (`transposed`); bias: added per output, by the operator or by the
    Add behind it; addend: any other c, with its factor beta; fused: the activation function of a FusedGemm; slices:
    the extents of the weight beyond the two of a matrix, empty where it is one: the window of a convolution, behind
    them, or the stack of a MatMul, in front of them; picked: the Gather that picks entries of a stack at run time, by
    which the node reads the weight, as that of experts, None where it reads all of it.
    """

    node: ir.Node
    address: str
    activation: ir.Value
    weight: ir.Value
    shape: tuple[int, int]
    dtype: ir.DataType
    transposed: bool
    layout: Layout
    alpha: float = 1.0
    beta: float = 1.0
    bias: Bias | None = None
    addend: ir.Value | None = None
    fused: bool = False
    opset: int = 0
    in_function: bool = False
    slices: tuple[int, ...] = ()
    picked: ir.Node | None = None

    @property
    def factor(self) -> ir.Value:
        """What the node reads of the weight."""
        return self.weight if self.picked is None else self.picked.outputs[0]

    @property
    def rows_of_one(self) -> int:
        """Rows that are multiplied with one matrix of those that are picked, as far as that is known: 1 else."""
        shape = shape_of(self.activation)
        if self.op != "MatMul" or shape is None or len(shape) < 2:
            return 1
        extent = shape[-1 if self.transposed else -2]
        return extent if isinstance(extent, int) and extent > 0 else 1

    @property
    def is_dequantised(self) -> bool:
        """Whether its weight is stored in fewer bits, behind a DequantizeLinear."""
        return dequantises(self.weight)

    @property
    def taps(self) -> int:
        """Matrices of the weight that one result is made of: the pixels of a window; 1 where it is no convolution."""
        return math.prod(self.slices) if self.layout.kind == "conv" else 1

    @property
    def op(self) -> str:
        """The operator that spells it."""
        return str(self.node.op_type)

    @property
    def output(self) -> ir.Value:
        """What it computes: the output of the bias's Add where that can be folded in, else of the node."""
        bias = self.bias
        folded = bias is not None and bias.via is None and bias.node
        return (folded or self.node).outputs[0]

    def stored(self, constants: Constants) -> npt.NDArray[Any]:
        """The weight as stored: (K, N), or (N, K) when `transposed`, its slices behind them or in front of them."""
        K, N = self.shape
        array = constants.read(self.weight)
        shape: tuple[int, ...] = (N, K) if self.transposed else (K, N)
        fits = array.shape[:2] == shape and array.size == K * N  # kernels of one pixel have further axes
        if self.slices:
            shape = (*shape, *self.slices) if self.layout.kind == "conv" else (*self.slices, *shape)
            fits = array.shape == shape
        if not fits:  # a stale value_info: reshaping would scramble the weight
            raise ModelError(
                f"{self.address}: the weight has shape {array.shape}, not {shape} as the graph says; export it again"
            )
        return array.reshape(shape)

    def canonical(self, constants: Constants) -> npt.NDArray[Any]:
        """The canonical weight, shape (K, N); a view of the stored one, or where that has slices 1 where any of them
        has an edge, else 0."""
        return self.as_matrix(self.stored(constants))

    def as_matrix(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The same of a weight that was read already."""
        if self.slices:
            axes = tuple(range(2, stored.ndim)) if self.layout.kind == "conv" else tuple(range(len(self.slices)))
            stored = (stored != 0).any(axis=axes).astype(np.float32)
        return stored.T if self.transposed else stored


def dequantises(value: ir.Value) -> bool:
    """Whether a value is what a DequantizeLinear makes."""
    maker = value.producer()
    return maker is not None and maker.op_type == "DequantizeLinear"


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """One graph or function body, with the path that leads to it and the operator sets that hold in it."""

    graph: ir.Graph | ir.Function
    path: str
    opset_imports: dict[str, int]
    in_function: bool
    addresses: dict[ir.Node, str] = field(default_factory=dict)

    @property
    def opset(self) -> int:
        """Version of the standard operator set that holds here."""
        return self.opset_imports.get("", self.opset_imports.get("ai.onnx", 1))

    def address(self, node: ir.Node) -> str:
        """The node's address in the model: path and name, or operator and position where that is not unique."""
        return self.addresses[node]


def scopes(model: ir.Model) -> Iterator[Scope]:
    """Every graph of the model, the main one first, then functions, each followed by its subgraphs.

    Addresses look like 'encoder/MatMul_3', 'If_0.then_branch/MatMul#2' or 'domain::function/MatMul#0'.
    """
    taken: set[str] = set()
    yield from _scopes(model.graph, "", dict(model.opset_imports), False, taken)
    for (domain, name, overload), function in model.functions.items():
        path = f"{domain}::{name}{':' + overload if overload else ''}/"
        yield from _scopes(function, path, {**model.opset_imports, **function.opset_imports}, True, taken)


def _scopes(
    graph: ir.Graph | ir.Function, path: str, opset_imports: dict[str, int], in_function: bool, taken: set[str]
) -> Iterator[Scope]:
    nodes = list(graph)
    counts = Counter(node.name for node in nodes)
    addresses = {}
    for index, node in enumerate(nodes):
        address = path + (node.name if node.name and counts[node.name] == 1 else f"{node.op_type}#{index}")
        while address in taken:  # nothing forbids a node called 'MatMul#1' or 'If.then_branch/MatMul'
            address += "'"
        taken.add(address)
        addresses[node] = address
    yield Scope(graph, path, opset_imports, in_function, addresses)
    for node in nodes:
        for attribute in node.attributes.values() if node.attributes else ():
            if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) and not attribute.is_ref():
                inner = [attribute.value] if attribute.type == ir.AttributeType.GRAPH else list(attribute.value)
                for index, subgraph in enumerate(inner):
                    suffix = f".{attribute.name}" + (f"[{index}]" if len(inner) > 1 else "")
                    yield from _scopes(subgraph, addresses[node] + suffix + "/", opset_imports, in_function, taken)


def only_use(value: ir.Value) -> tuple[ir.Node, int] | None:
    """The node that reads a value, and as which operand, in the graph in which it is made; None where none or several
    do, a branch or a loop's body does, or it is an output as well."""
    uses, maker = value.uses(), value.producer()
    if len(uses) != 1 or value.is_graph_output():
        return None
    node, place = next(iter(uses))
    return (node, place) if maker is None or maker.graph is node.graph else None


def with_bias(linear: Linear, constants: Constants) -> Linear:
    """Take in the Add of one constant per output behind a product, on either side of the Add, also after one
    Reshape or Cast; an Add of anything else is a residual and stays out."""
    value, via = linear.node.outputs[0], None
    for _ in range(2):
        if (use := only_use(value)) is None:
            return linear
        node, place = use
        if node.op_type == "Add":
            break
        if node.op_type not in ("Reshape", "Cast") or via is not None or place != 0:
            return linear
        value, via = node.outputs[0], node.op_type
    else:
        return linear
    other = node.inputs[1 - place]
    if other is None or other not in constants or node.graph is not linear.node.graph:
        return linear
    shape, dtype = constants.describe(other)
    if via == "Reshape" and math.prod(shape) == linear.shape[1]:
        return replace(linear, bias=Bias(value=other, node=node, via=via))
    axis = len(shape) - linear.layout.from_last(linear.layout.axis_out)
    if axis < 0 or shape[axis] != linear.shape[1] or math.prod(shape) != shape[axis]:
        return linear
    if len(shape) > 1 and len(shape) > (linear.layout.rank or 0):  # such an Add would give y more dimensions
        return linear
    if via is None and dtype != linear.dtype:
        return linear
    return replace(linear, bias=Bias(value=other, node=node, via=via))
