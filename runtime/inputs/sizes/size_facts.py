"""What a graph says about the sizes of its inputs: dimensions that a weight fixes, and those that must be alike."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy.typing as npt

from ....ir.graph.constants import Constants
from ....ir.graph.recurrent import GATES
from ....ir.graph.shapes import infer_shapes
from ....ir.io.load import Model
from ....ir.io.tensors import graphs
from ....ir.onnx_ir import onnx_ir as ir
from ..inputs import name_of
from .regrouping import Dim, Regrouped, dims_of, groupings, integers_of, regrouped

__all__ = ["Derived", "derive"]

Pair: TypeAlias = "tuple[Dim, Dim]"
Shapes: TypeAlias = "list[list[Dim] | None]"

HINTS = 12
ROUNDS = 4  # of inference, each with what followed from the one before
FAR = 20  # operators between a Shape and what is compared
COMPARED = frozenset({"Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"})
LARGEST = 4096  # a size that is only a guess: more would not fit beside others
ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Mod", "Where", "Equal", "Less", "Greater", "And", "Or"})
ELEMENTWISE |= {"LessOrEqual", "GreaterOrEqual", "Xor", "Max", "Min", "Sum", "Mean", "PRelu", "SkipLayerNormalization"}
# Operators with one entry of an input (second number) for each index of an axis (first) of their first input.
PER_FEATURE = {
    "LayerNormalization": (-1, 1),
    "SimplifiedLayerNormalization": (-1, 1),
    "RMSNormalization": (-1, 1),
    "SkipLayerNormalization": (-1, 2),
    "BatchNormalization": (1, 1),
    "InstanceNormalization": (1, 1),
    "GroupNormalization": (1, 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """known: symbols that can have one size only; ties: symbol to the one that it is as large as; hints: sizes that
    occur in the graph, most frequent first, one of which a symbol may need; groupings: sizes of several symbols with
    which a Reshape to a fixed shape would work; regrouped: what those that always run demand; limits: sizes that the
    graph compares with constants; rivals: other sizes of symbols that are known, as another branch demands them."""

    known: Mapping[str, int]
    ties: Mapping[str, str]
    hints: tuple[int, ...] = ()
    groupings: tuple[Mapping[str, int], ...] = ()
    regrouped: tuple[Regrouped, ...] = ()
    limits: tuple[int, ...] = ()
    rivals: tuple[Mapping[str, int], ...] = ()


def derive(model: Model, values: Mapping[str, npt.NDArray[Any]] | None = None) -> Derived:
    """What the operators of a graph and of its branches demand of the symbols of the inputs; reads no weight.

    Products, convolutions, recurrent operators and normalisations fix features; elementwise operators and
    concatenations tie what they join. Shapes are those that ONNX infers. values: what some inputs hold for good, from
    which sizes may follow.
    """
    graph = _holding(model.graph, values) if values else model.graph
    scratch = graph.clone()
    for value in scratch.graph.inputs:
        dims = dims_of(value) if value.const_value is None else None
        if dims is not None:
            value.shape = ir.Shape([name_of(value.name or "", axis) if d is None else d for axis, d in enumerate(dims)])
    inputs = [value for value in scratch.graph.inputs if value.const_value is None]
    symbols = {name for value in inputs for name in dims_of(value) or () if isinstance(name, str)}
    if not symbols:
        return Derived(known={}, ties={})
    known: dict[str, int] = {}
    tied: list[tuple[str, str]] = []
    rivals: list[Mapping[str, int]] = []
    for _ in range(ROUNDS):
        before = len(known), len(tied)
        _collect(scratch, symbols, known, tied, rivals)
        if before == (len(known), len(tied)):
            break
        _substitute(scratch, known, _rooted(tied))
    constants = Constants(graph)
    return Derived(
        known=known,
        ties=_rooted(tied),
        hints=_hints(graph, constants),
        groupings=tuple(itertools.islice(groupings(scratch, symbols), HINTS)),
        regrouped=tuple(regrouped(scratch)),
        limits=_limits(graph, constants),
        rivals=tuple(rivals[:HINTS]),
    )


def _holding(model: ir.Model, values: Mapping[str, npt.NDArray[Any]]) -> ir.Model:
    """A copy of a model in which inputs hold these values for good."""
    copy = model.clone()
    for value in [one for one in copy.graph.inputs if one.name in values and one.const_value is None]:
        array = values[value.name or ""]
        value.const_value, value.shape = ir.Tensor(array, name=value.name), ir.Shape(array.shape)
        if (copy.ir_version or 0) >= 4:  # older ones list constants among the inputs
            copy.graph.inputs.remove(value)
        copy.graph.register_initializer(value)
    return copy


def _collect(
    graph: ir.Model,
    symbols: set[str],
    known: dict[str, int],
    tied: list[tuple[str, str]],
    rivals: list[Mapping[str, int]],
) -> None:
    """Add what the operators demand, where shapes are inferred from what the inputs now say."""
    infer_shapes(graph)
    for one, other in (pair for body in graphs(graph) for node in body for pair in _demands(node)):
        for symbol, dim in ((one, other), (other, one)):
            if isinstance(symbol, str) and symbol in symbols:
                if isinstance(dim, int) and dim > 0:
                    if known.setdefault(symbol, dim) != dim and {symbol: dim} not in rivals:
                        rivals.append({symbol: dim})
                elif isinstance(dim, str) and dim in symbols and dim != symbol and (symbol, dim) not in tied:
                    tied.append((symbol, dim))


def _substitute(graph: ir.Model, known: Mapping[str, int], ties: Mapping[str, str]) -> None:
    """Say in the inputs what is known, so that more follows: inference keeps no symbol where two meet."""
    for value in graph.graph.inputs:
        dims = dims_of(value)
        if dims is not None:
            named = [ties.get(dim, dim) if isinstance(dim, str) else dim for dim in dims]
            value.shape = ir.Shape([known.get(dim, dim) if isinstance(dim, str) else dim for dim in named])


def _demands(node: ir.Node) -> Iterator[Pair]:
    """Pairs of dimensions that must be equal for one node to run."""
    shapes = [dims_of(value) for value in node.inputs]
    if node.op_type in ELEMENTWISE:
        yield from _broadcast(shapes)
    if node.op_type in PER_FEATURE:
        axis, place = PER_FEATURE[node.op_type]
        first = _at(shapes, 0)
        scale = _at(shapes, place)
        if first and scale and -len(first) <= axis < len(first):
            yield first[axis], scale[-1]
    rule = RULES.get(node.op_type)
    if rule is not None:
        yield from rule(node, shapes)
    if node.op_type in GATES:
        yield from _recurrent(shapes)


def _broadcast(shapes: Shapes) -> Iterator[Pair]:
    """Dimensions that meet; one of size 1 fits everything, and a symbol that meets a size is taken to have it."""
    known = [shape for shape in shapes if shape is not None]
    for place, one in enumerate(known):
        for other in known[:place]:
            for a, b in zip(reversed(one), reversed(other), strict=False):
                if 1 not in (a, b):
                    yield a, b


def _matmul(node: ir.Node, shapes: Shapes) -> Iterator[Pair]:
    a, b = _at(shapes, 0), _at(shapes, 1)
    if not a or not b:
        return
    a, b = (_swapped(node, "transA", a), _swapped(node, "transB", b)) if node.op_type.startswith("Fused") else (a, b)
    yield a[-1], b[-2] if len(b) > 1 else b[-1]
    if len(a) > 2 and len(b) > 2:
        yield from _broadcast([a[:-2], b[:-2]])


def _gemm(node: ir.Node, shapes: Shapes) -> Iterator[Pair]:
    a, b, c = _at(shapes, 0), _at(shapes, 1), _at(shapes, 2)
    if a and b and len(a) == len(b) == 2:
        a, b = _swapped(node, "transA", a), _swapped(node, "transB", b)
        yield a[1], b[0]
        if c:
            yield from _broadcast([c, [a[0], b[1]]])


def _swapped(node: ir.Node, name: str, shape: list[Dim]) -> list[Dim]:
    turned = len(shape) > 1 and name in node.attributes and bool(node.attributes[name].as_int())
    return [*shape[:-2], shape[-1], shape[-2]] if turned else shape


def _conv(node: ir.Node, shapes: Shapes) -> Iterator[Pair]:
    x, w = _at(shapes, 0), _at(shapes, 1)
    if x and w and len(x) > 1 and len(w) > 1:
        group = node.attributes["group"].as_int() if "group" in node.attributes else 1
        transposed = node.op_type == "ConvTranspose"
        channels = w[0] if transposed else (w[1] * group if isinstance(w[1], int) else None)
        yield x[1], channels


def _concat(node: ir.Node, shapes: Shapes) -> Iterator[Pair]:
    known = [shape for shape in shapes if shape is not None]
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 1
    for one, other in itertools.pairwise(known):
        if len(one) == len(other) and -len(one) <= axis < len(one):
            yield from (pair for place, pair in enumerate(zip(one, other, strict=True)) if place != axis % len(one))


def _recurrent(shapes: Shapes) -> Iterator[Pair]:
    x, w, r = _at(shapes, 0), _at(shapes, 1), _at(shapes, 2)
    lengths = _at(shapes, 4)
    if x and len(x) == 3:
        if w and len(w) == 3:
            yield x[2], w[2]
        if lengths:
            yield x[1], lengths[0]
        for place in (5, 6):
            state = _at(shapes, place)
            if state and len(state) == 3:
                yield x[1], state[1]
                if r and len(r) == 3:
                    yield state[2], r[2]


RULES: dict[str, Callable[[ir.Node, Shapes], Iterator[Pair]]] = {
    "MatMul": _matmul,
    "FusedMatMul": _matmul,
    "Gemm": _gemm,
    "FusedGemm": _gemm,
    "Conv": _conv,
    "FusedConv": _conv,
    "ConvTranspose": _conv,
    "Concat": _concat,
}


def _at(shapes: Shapes, place: int) -> list[Dim] | None:
    return shapes[place] if place < len(shapes) else None


def _rooted(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Each symbol but one of every set of equal ones, to that one."""
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while name in root:
            name = root[name]
        return name

    for one, other in pairs:
        a, b = find(one), find(other)
        if a != b:
            root[a] = b
    return {name: find(name) for name in root}


def _limits(graph: ir.Model, constants: Constants) -> tuple[int, ...]:
    """Sizes on both sides of the constants that something made of a Shape is compared with."""
    found: dict[int, None] = {}
    for node in graph.graph.all_nodes():
        if node.op_type in COMPARED and len(node.inputs) == 2:
            for one, other in itertools.permutations(node.inputs):
                numbers = integers_of(other, constants) if one is not None and _is_size(one) else []
                found |= {number + step: None for number in numbers for step in (1, 0) if number + step > 0}
    return tuple(found)[:HINTS]


def _is_size(value: ir.Value) -> bool:
    """Whether a value comes from a Shape by way of first operands."""
    for _ in range(FAR):
        node = value.producer()
        if node is None or not node.inputs or node.inputs[0] is None:
            return False
        if node.op_type in ("Shape", "Size"):
            return True
        value = node.inputs[0]
    return False


def _hints(model: ir.Model, constants: Constants) -> tuple[int, ...]:
    """Sizes that shapes of the graph are made of: targets of Reshape and Expand, stated extents of outputs."""
    counts: Counter[int] = Counter()
    for graph in graphs(model):
        for node in graph:
            if node.op_type in ("Reshape", "Expand", "Tile", "Slice", "Split") and len(node.inputs) > 1:
                for value in node.inputs[1:]:
                    counts.update(integers_of(value, constants))
            counts.update(_left_over(node))
    for value in model.graph.outputs:
        counts.update(dim for dim in (value.shape if value.shape is not None else ()) if isinstance(dim, int))
    return tuple(size for size, _ in counts.most_common() if 1 < size <= LARGEST)[:HINTS]


def _left_over(node: ir.Node) -> list[int]:
    """What a product demands of its features, and that without what is known of a Concat that makes them."""
    if node.op_type not in ("MatMul", "Gemm", "FusedMatMul") or len(node.inputs) < 2:
        return []
    weight, maker = dims_of(node.inputs[1]), node.inputs[0].producer() if node.inputs[0] is not None else None
    whole = weight[0] if weight and len(weight) == 2 else None
    if not isinstance(whole, int):
        return []
    if maker is None or maker.op_type != "Concat":
        return [whole]
    known = [dims[-1] for value in maker.inputs if (dims := dims_of(value)) and isinstance(dims[-1], int)]
    return [whole, whole - sum(known)]
