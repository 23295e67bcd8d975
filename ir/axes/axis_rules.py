"""Ties: which dimensions of what an operator reads and writes have their features in one order, whatever order that is.

An operator is equivariant: when the features along all dimensions of one tie are put into another order, all the
same, what it computes is in that order along those of its result, and holds the same numbers. Sums over a dimension
(of a product, a mean, a norm) are the same up to rounding. Dimensions are counted from the last, 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..graph.constants import Constants
from ..graph.operators import NORMS, POINTWISE, QUANTISING, REDUCING, SKIP_NORMS, SOFTMAX, is_one_of, is_standard
from ..graph.shapes import shape_of
from ..graph.site import size
from ..io.load import ModelError
from ..onnx_ir import onnx_ir as ir

__all__ = ["Dim", "Extents", "Operand", "Place", "Sizes", "Tie", "ties"]

LONGEST = 64  # entries of a constant that says axes or a shape
BROADCASTS = 7  # the operator set from which operands line up as they do in numpy


@dataclass(frozen=True, slots=True)
class Operand:
    """A constant as one node reads it: other nodes may get another copy."""

    node: ir.Node
    index: int

    @property
    def value(self) -> ir.Value:
        """The constant."""
        value = self.node.inputs[self.index]
        assert value is not None
        return value


Extents: TypeAlias = "tuple[int | None, ...]"  # None where it is decided at run time
Place: TypeAlias = "ir.Value | Operand"
Dim: TypeAlias = "tuple[Place, int]"
Tie: TypeAlias = "tuple[Dim, ...]"


@dataclass(frozen=True, slots=True, eq=False)
class Sizes:
    """The extents of values and constants; those of fused operators, which ONNX does not infer, are learned."""

    constants: Constants
    learned: dict[ir.Value, Extents] = field(default_factory=dict)

    def of(self, place: Place) -> Extents | None:
        """The extents of a place, None where not even their number is known."""
        if isinstance(place, Operand):
            try:
                return self.constants.describe(place.value)[0]
            except ModelError:
                return None
        shape = shape_of(place)
        if shape is None:
            return self.learned.get(place)
        return tuple(extent if isinstance(extent, int) else None for extent in shape)

    def extent(self, dim: Dim) -> int | None:
        """How many features lie along a dimension, where that is known."""
        place, axis = dim
        extents = self.of(place)
        return extents[-axis] if extents is not None and len(extents) >= axis else None


def ties(node: ir.Node, sizes: Sizes) -> list[Tie] | str:
    """The ties of one node; a tie of one dimension alone is one whose order does not matter.

    Text is the reason why nothing is known of it. What is in no tie has to stay in its order, for all that is known.

    >>> x, w, y = (ir.Value(name=name, shape=ir.Shape(shape)) for name, shape in zip("xwy", ([5, 2], [2, 3], [5, 3])))
    >>> model = ir.Model(ir.Graph([x, w], [y], nodes=[], opset_imports={"": 17}), ir_version=8)
    >>> found = ties(ir.Node("", "MatMul", [x, w], outputs=[y]), Sizes(Constants(model)))
    >>> [[(place.name, axis) for place, axis in tie] for tie in found]
    [[('x', 1), ('w', 2)], [('x', 2), ('y', 2)], [('w', 1), ('y', 1)]]
    """
    rule = RULES.get(node.op_type)
    if rule is None or not is_one_of(node, RULES):
        return "may depend on their order"
    if sizes.constants.opset < BROADCASTS or "broadcast" in node.attributes:
        return f"is of an operator set before {BROADCASTS}"
    if any(attribute.is_ref() for attribute in node.attributes.values()):
        return "depends on the caller of its function"
    try:
        return rule(_At(node, sizes))
    except _UntiedError as error:
        return str(error)
    except (ModelError, IndexError, ValueError, TypeError):  # an invalid node
        return "cannot be understood"


class _UntiedError(Exception):
    """Why an operator ties nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class _At:
    """One node, as its rule looks at it."""

    node: ir.Node
    sizes: Sizes

    @property
    def inputs(self) -> list[Place]:
        """All operands that are there."""
        return [place for index in range(len(self.node.inputs)) if (place := self.input(index)) is not None]

    def input(self, index: int) -> Place | None:
        """One operand."""
        value = self.node.inputs[index] if index < len(self.node.inputs) else None
        return Operand(self.node, index) if value is not None and value in self.sizes.constants else value

    def needed(self, index: int) -> Place:
        """One operand that has to be there."""
        place = self.input(index)
        if place is None:
            raise _UntiedError("lacks an operand")
        return place

    @property
    def output(self) -> ir.Value:
        """The first result."""
        return self.node.outputs[0]

    def extents(self, place: Place) -> Extents:
        """The extents of a place of known rank."""
        found = self.sizes.of(place)
        if found is None:
            raise _UntiedError("reads or makes a value of unknown rank")
        return found

    def rank(self, place: Place) -> int:
        """How many dimensions a place has."""
        return len(self.extents(place))

    def learn(self, value: ir.Value, extents: Extents) -> None:
        """Say what extents a result has; believed where ONNX infers none."""
        self.sizes.learned[value] = extents

    def attribute(self, name: str, default: Any) -> Any:
        """The value of an attribute."""
        found = self.node.attributes.get(name)
        return default if found is None else found.value

    def integers(self, name: str, index: int | None = None) -> list[int] | None:
        """A list of integers from an attribute, or from a constant operand; None where it is left out."""
        if name in self.node.attributes:
            return list(self.attribute(name, ()))
        place = None if index is None else self.input(index)
        if place is None:
            return None
        if not isinstance(place, Operand) or size(self.sizes.constants.describe(place.value)[0]) > LONGEST:
            raise _UntiedError(f"takes its {name} from what is computed")
        return [int(number) for number in self.sizes.constants.read(place.value).ravel()]


def _all(at: _At, place: Place) -> list[Dim]:
    return [(place, axis) for axis in range(1, at.rank(place) + 1)]


def _from_last(rank: int, axis: int) -> int:
    """An axis counted from the first, 0, or negative, as it is counted from the last, 1."""
    if not -rank <= axis < rank:
        raise _UntiedError("names an axis that is not there")
    return -axis if axis < 0 else rank - axis


def _aligned(at: _At, places: Sequence[Place]) -> list[Tie]:
    """Places that broadcast: dimensions line up from the last on."""
    ranks = [at.rank(place) for place in places]
    return [
        tuple((place, axis) for place, rank in zip(places, ranks, strict=True) if rank >= axis)
        for axis in range(1, max(ranks) + 1)
    ]


def _broadcast(at: _At, places: Iterable[Place]) -> Extents:
    """The extents of what places broadcast to."""
    all_extents = [at.extents(place) for place in places]
    result: list[int | None] = []
    for axis in range(1, max(map(len, all_extents)) + 1):
        here = [extents[-axis] for extents in all_extents if len(extents) >= axis]
        known = [extent for extent in here if extent is not None and extent != 1]
        result.append(known[0] if known else (None if None in here else 1))
    return tuple(reversed(result))


def _pointwise(at: _At) -> list[Tie]:
    """Element by element, with operands that broadcast; norms over a dimension are so as well, up to rounding."""
    at.learn(at.output, _broadcast(at, at.inputs))
    return _aligned(at, [*at.inputs, at.output])


def _skip_norm(at: _At) -> list[Tie]:
    """A norm of a sum, which is a result as well."""
    first = at.needed(0)
    results = [value for index, value in enumerate(at.node.outputs) if index in (0, 3) and value.name]
    for value in results:
        at.learn(value, at.extents(first))
    return _aligned(at, [*at.inputs, *results])


def _dropout(at: _At) -> list[Tie]:
    training = at.input(2)
    silent = isinstance(training, Operand) and not at.sizes.constants.read(training.value).any()
    if training is not None and not silent:
        raise _UntiedError("draws random numbers")
    return _aligned(at, [at.needed(0), *[value for value in at.node.outputs if value.name]])


def _per_operand(at: _At) -> list[Tie]:
    """QuantizeLinear and its inverse, in one scale, or one for each feature of a dimension."""
    if at.attribute("block_size", 0):
        raise _UntiedError("quantises in blocks")
    x = at.needed(0)
    found = _aligned(at, [x, at.output])
    axis = _from_last(at.rank(x), at.attribute("axis", 1)) if at.rank(x) > 1 else 1
    for place in at.inputs[1:]:
        if any(extent != 1 for extent in at.extents(place)):
            found = [(*tie, (place, 1)) if tie[0] == (x, axis) else tie for tie in found]
    return found


def _softmax(at: _At) -> list[Tie]:
    """Over any of the dimensions: sums have no order."""
    return _aligned(at, [at.needed(0), at.output])


def _reduce(at: _At) -> list[Tie]:
    x = at.needed(0)
    rank = at.rank(x)
    axes = at.integers("axes", 1)
    if not axes:
        axes = [] if at.attribute("noop_with_empty_axes", 0) else list(range(rank))
    over = {_from_last(rank, axis) for axis in axes}
    return _kept(at, x, over, bool(at.attribute("keepdims", 1)))


def _kept(at: _At, x: Place, over: set[int], keepdims: bool) -> list[Tie]:
    """Dimensions beside those that are reduced go on, the others have no order."""
    found: list[Tie] = []
    place = 0
    for axis in range(1, at.rank(x) + 1):
        if axis in over:
            found.append(((x, axis),))
            place += keepdims
        else:
            place += 1
            found.append(((x, axis), (at.output, place)))
    return found


def _global_pool(at: _At) -> list[Tie]:
    x = at.needed(0)
    return _kept(at, x, set(range(1, at.rank(x) - 1)), True)


def _pool(at: _At) -> list[Tie]:
    """Windows along all dimensions but the first two."""
    x = at.needed(0)
    rank = at.rank(x)
    return [((x, axis), (at.output, axis)) for axis in (rank, rank - 1)]


def _batch_norm(at: _At) -> list[Tie]:
    x = at.needed(0)
    if at.attribute("training_mode", 0) or not at.attribute("spatial", 1) or at.rank(x) < 2:
        raise _UntiedError("is no norm of channels")
    channel = at.rank(x) - 1
    found = _aligned(at, [x, at.output])
    found[channel - 1] += tuple((place, 1) for place in at.inputs[1:])
    return found


def _transpose(at: _At) -> list[Tie]:
    x = at.needed(0)
    rank = at.rank(x)
    perm = at.attribute("perm", None) or list(range(rank))[::-1]
    if sorted(perm) != list(range(rank)):
        raise _UntiedError("cannot be understood")
    return [((x, rank - source), (at.output, rank - target)) for target, source in enumerate(perm)]


def _squeeze(at: _At) -> list[Tie]:
    x = at.needed(0)
    extents = at.extents(x)
    axes = at.integers("axes", 1)
    if axes is None:
        if None in extents:
            raise _UntiedError("drops dimensions that are decided at run time")
        axes = [axis for axis, extent in enumerate(extents) if extent == 1]
    gone = {_from_last(len(extents), axis) for axis in axes}
    left = [axis for axis in range(1, len(extents) + 1) if axis not in gone]
    return [((x, axis), (at.output, place)) for place, axis in enumerate(left, start=1)]


def _unsqueeze(at: _At) -> list[Tie]:
    x = at.needed(0)
    axes = at.integers("axes", 1)
    if axes is None:
        raise _UntiedError("lacks an operand")
    rank = at.rank(x) + len(axes)
    new = {_from_last(rank, axis) for axis in axes}
    old = [place for place in range(1, rank + 1) if place not in new]
    return [((x, axis), (at.output, place)) for axis, place in enumerate(old, start=1)]


def _reshape(at: _At) -> list[Tie]:
    """Elements keep their order in memory, so a dimension goes on where as many elements lie behind it, and it is as
    long: whatever happens to the dimensions before."""
    x = at.needed(0)
    before, after = _behind(at.extents(x)), _behind(_asked(at))
    return [((x, axis), (at.output, after[key])) for key, axis in before.items() if key in after]


def _asked(at: _At) -> Extents:
    """The extents of a Reshape's result: those that are inferred, and those that its operand says at its end."""
    extents = list(at.extents(at.output))
    shape = at.node.inputs[1] if at.node.op_type == "Reshape" and len(at.node.inputs) > 1 else None
    maker = shape.producer() if shape is not None else None
    if maker is not None and maker.op_type == "Concat" and is_standard(maker):
        shape = maker.inputs[-1]
    if shape is not None and shape in at.sizes.constants:
        told = at.sizes.constants.describe(shape)[0]
        numbers = at.sizes.constants.read(shape).ravel().tolist() if len(told) == 1 and size(told) <= LONGEST else []
        for axis, number in enumerate(reversed(numbers[-len(extents) :] if extents else []), start=1):
            if number > 0:
                extents[-axis] = int(number)
    elif at.node.op_type == "Flatten" and len(extents) == 2:
        x = at.extents(at.needed(0))
        if x and extents[-1] is None and at.attribute("axis", 1) in (-1, len(x) - 1):
            extents[-1] = x[-1]
    return tuple(extents)


def _behind(extents: Extents) -> dict[tuple[int, int], int]:
    """(elements behind a dimension, its extent) of those that are known, and which it is."""
    found: dict[tuple[int, int], int] = {}
    behind = 1
    for axis, extent in enumerate(reversed(extents), start=1):
        if extent is None:
            break
        if extent > 1:
            found[behind, extent] = axis
        behind *= extent
    return found


def _expand(at: _At) -> list[Tie]:
    """What is repeated along a dimension is the same in any order."""
    x = at.needed(0)
    return _aligned(at, [x, at.output])


def _gather(at: _At) -> list[Tie]:
    """Positions along its axis are what the indices say; the other dimensions go on, those of the indices as well."""
    data, indices = at.needed(0), at.needed(1)
    behind = _from_last(at.rank(data), at.attribute("axis", 0)) - 1  # dimensions behind the axis
    count = at.rank(indices)
    found: list[Tie] = [((data, axis), (at.output, axis)) for axis in range(1, behind + 1)]
    found += [((indices, axis), (at.output, behind + axis)) for axis in range(1, count + 1)]
    found += [((data, axis), (at.output, axis - 1 + count)) for axis in range(behind + 2, at.rank(data) + 1)]
    return found


def _slice(at: _At) -> list[Tie]:
    x = at.needed(0)
    rank = at.rank(x)
    axes = at.integers("axes", 3)
    if axes is None:
        starts = at.integers("starts", 1)
        if starts is None:
            raise _UntiedError("lacks an operand")
        axes = list(range(len(starts)))
    cut = {_from_last(rank, axis) for axis in axes}
    return [((x, axis), (at.output, axis)) for axis in range(1, rank + 1) if axis not in cut]


def _concat(at: _At) -> list[Tie]:
    along = _from_last(at.rank(at.inputs[0]), at.attribute("axis", 0))
    tied = _aligned(at, [*at.inputs, at.output])
    return tied[: along - 1] + tied[along:]


def _split(at: _At) -> list[Tie]:
    x = at.needed(0)
    along = _from_last(at.rank(x), at.attribute("axis", 0))
    tied = _aligned(at, [x, *at.node.outputs])
    return tied[: along - 1] + tied[along:]


def _matmul(at: _At) -> list[Tie]:
    """a b, of any ranks; the fused form transposes the last two dimensions."""
    a, b = at.needed(0), at.needed(1)
    ranks = at.rank(a), at.rank(b)
    if at.attribute("transBatchA", 0) or at.attribute("transBatchB", 0) or 0 in ranks:
        raise _UntiedError("is an unusual product")
    inner_a, outer_a = (2, 1) if at.attribute("transA", 0) and ranks[0] > 1 else (1, 2)
    inner_b, outer_b = (1, 2) if at.attribute("transB", 0) and ranks[1] > 1 else (2, 1)
    if ranks[1] == 1:
        inner_b = 1
    found: list[Tie] = [((a, inner_a), (b, inner_b))]
    core = 0  # dimensions of the result behind those of batches
    extents: list[int | None] = []
    if ranks[0] > 1:
        found.append(((a, outer_a), (at.output, 2 if ranks[1] > 1 else 1)))
        core += 1
        extents.append(at.extents(a)[-outer_a])
    if ranks[1] > 1:
        found.append(((b, outer_b), (at.output, 1)))
        core += 1
        extents.append(at.extents(b)[-outer_b])
    batches = [(place, axis) for place, rank in zip((a, b), ranks, strict=True) for axis in range(3, rank + 1)]
    for axis in range(3, max(ranks) + 1):
        tie = tuple(dim for dim in batches if dim[1] == axis)
        found.append((*tie, (at.output, axis - 2 + core)))
        here = [at.sizes.extent(dim) for dim in tie]
        known = [extent for extent in here if extent is not None and extent != 1]
        extents.insert(0, known[0] if known else (None if None in here else 1))
    at.learn(at.output, tuple(extents))
    return found


def _gemm(at: _At) -> list[Tie]:
    a, b, c = at.needed(0), at.needed(1), at.input(2)
    rows, inner_a = (1, 2) if at.attribute("transA", 0) else (2, 1)
    columns, inner_b = (2, 1) if at.attribute("transB", 0) else (1, 2)
    if at.rank(a) != 2 or at.rank(b) != 2 or (c is not None and at.rank(c) > 2):
        raise _UntiedError("is an unusual product")
    at.learn(at.output, (at.extents(a)[-rows], at.extents(b)[-columns]))
    outer: list[Tie] = [((b, columns), (at.output, 1)), ((a, rows), (at.output, 2))]
    if c is not None:
        outer = [(*tie, (c, axis)) if axis <= at.rank(c) else tie for axis, tie in enumerate(outer, start=1)]
    return [((a, inner_a), (b, inner_b)), *outer]


def _conv(at: _At) -> list[Tie]:
    """Windows over all dimensions but the first two, of all channels, or of each channel alone."""
    x, W, bias = at.needed(0), at.needed(1), at.input(2)
    rank, extents = at.rank(x), at.extents(W)
    group = at.attribute("group", 1)
    if at.rank(W) != rank or at.input(3) is not None:
        raise _UntiedError("is an unusual convolution")
    channel, kernels = (x, rank - 1), [(W, rank), (at.output, rank - 1)]
    if bias is not None:
        kernels.append((bias, 1))
    batch: Tie = ((x, rank), (at.output, rank))
    if group == 1:
        return [(channel, (W, rank - 1)), tuple(kernels), batch]
    if extents[0] == group and extents[1] == 1:
        return [(channel, *kernels), batch]
    raise _UntiedError("is a convolution in groups")


def _einsum(at: _At) -> list[Tie]:
    """All dimensions of one letter."""
    terms, arrow, out = str(at.attribute("equation", "")).replace(" ", "").partition("->")
    if "." in terms + out:
        raise _UntiedError("broadcasts in an Einsum")
    letters = terms.split(",")
    if not arrow:
        out = "".join(sorted(letter for letter in set(terms) - {","} if terms.count(letter) == 1))
    places: list[Place] = [*at.inputs, at.output]
    found: dict[str, list[Dim]] = {}
    for place, names in zip(places, [*letters, out], strict=True):
        if at.rank(place) != len(names):
            raise _UntiedError("is an unusual Einsum")
        for index, letter in enumerate(names):
            found.setdefault(letter, []).append((place, len(names) - index))
    return [tuple(dims) for dims in found.values()]


RULES: dict[str, Callable[[_At], list[Tie]]] = {
    **dict.fromkeys(POINTWISE | NORMS, _pointwise),
    **dict.fromkeys(SKIP_NORMS, _skip_norm),
    **dict.fromkeys(QUANTISING, _per_operand),
    **dict.fromkeys(SOFTMAX, _softmax),
    **dict.fromkeys(REDUCING, _reduce),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global_pool),
    **dict.fromkeys(("AveragePool", "MaxPool", "LpPool"), _pool),
    **dict.fromkeys(("Reshape", "Flatten"), _reshape),
    **dict.fromkeys(("MatMul", "FusedMatMul"), _matmul),
    **dict.fromkeys(("Gemm", "FusedGemm"), _gemm),
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "Conv": _conv,
    "Dropout": _dropout,
    "Einsum": _einsum,
    "Expand": _expand,
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
