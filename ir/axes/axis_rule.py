"""What a rule says of the axes of one operator, and what it is told: the extents of operands and results.

The law of a rule: an operator is equivariant. When the features along all axes of one group of `same` are put into
another order, all the same, what it computes is in that order along those of its results, and holds the same numbers;
sums over an axis (of a product, a mean, a norm) are the same up to rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..graph.constants import Constants
from ..graph.node import NodeView
from ..graph.shapes import shape_of
from ..onnx_ir import onnx_ir as ir
from .regrouping import Extents, Regrouping

__all__ = [
    "AxisRef",
    "AxisRule",
    "Cut",
    "Operand",
    "Piece",
    "Place",
    "RuleView",
    "Sizes",
    "Taken",
    "UnknownRuleError",
    "aligned",
    "all_but",
    "kept",
    "lined_up",
    "makes",
    "reads",
]


MADE_UP = "unk__"  # names of extents that ONNX's shape inference knows nothing of


class AxisRef(NamedTuple):
    """An axis of what a node reads or makes: of which result or operand, `slot`; counted from the first, 0."""

    is_result: bool
    slot: int
    axis: int


Taken: TypeAlias = "slice | int | npt.NDArray[np.int64] | None"


class Piece(NamedTuple):
    """Features along an axis of an operand that a cut axis takes.

    taken: which, as numpy indexes them; a number where the axis goes; None where that is decided at run time.
    """

    source: AxisRef
    taken: Taken


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """An axis of a result that takes features from some places of axes of operands, one piece after another.

    target: None where the axis goes.
    """

    target: AxisRef | None
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AxisRule:
    """How features along the axes of one node's operands come to lie along those of its results.

    same: axes whose features are in one order, whatever order that is.
    mixed: axes of operands over which each result depends on all features, in whatever order these are (a sum, a norm,
    a product); they may be in `same` as well, where the features go on.
    cuts: axes of results that take only some features, or those of several operands.
    regrouped: how the axes of the first operand lie in the first result, where elements keep their order in memory.
    ranks: how many axes those results have that the rule is about.
    told: extents of axes of results that need not be those of operands, None where they are not known.

    An axis that is nowhere needs its features where they are, for all that is known.
    """

    # A matrix product a b of (batch, rows, K) and (batch, K, columns), as an example:
    #
    #     a  batch  rows   K                  same   {a0, b0, y0}  {a1, y1}  {b2, y2}  {a2, b1}
    #     b  batch         K   columns        mixed  {a2, b1}: each entry of y is a sum over all of K
    #     y  batch  rows       columns        cuts   none: whatever order K has, y does not tell
    same: tuple[tuple[AxisRef, ...], ...]
    mixed: frozenset[AxisRef] = frozenset()
    cuts: tuple[Cut, ...] = ()
    regrouped: Regrouping | None = None
    ranks: Mapping[int, int]
    told: Mapping[AxisRef, int | str | None] = field(default_factory=dict)


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


Place: TypeAlias = "ir.Value | Operand"
Groups: TypeAlias = "tuple[tuple[AxisRef, ...], ...]"


@dataclass(frozen=True, slots=True, eq=False)
class Sizes:
    """The extents of values and constants; those of fused operators, which ONNX does not infer, are learned.

    made_up: what extents are that inference only gave a name, as that of the heads in a Reshape to (…, -1, 32).
    """

    constants: Constants
    learned: dict[ir.Value, Extents] = field(default_factory=dict)
    made_up: dict[str, int | str] = field(default_factory=dict)
    _found: dict[ir.Value, Extents] = field(default_factory=dict)  # while the graph stays as it is
    _settled: dict[int, ir.Shape] = field(default_factory=dict)  # by identity: shapes without a name that is made up

    def of(self, place: Place) -> Extents | None:
        """The extents of a place: names of symbols, None where nothing is known of one or of all."""
        value = place.value if isinstance(place, Operand) else place
        found = self._found.get(value)
        if found is None and (found := self._looked_up(value)) is not None:
            self._found[value] = found
        return found

    def _looked_up(self, value: ir.Value) -> Extents | None:
        # A constant tells its extents itself, also where the graph says nothing or something else of them.
        if value in self.constants:
            try:
                return self.constants.describe(value)[0]
            except ModelError:
                return None
        # What ONNX infers comes first; what was learned is for operators that it does not know.
        shape = shape_of(value)
        if shape is None:
            return self.learned.get(value)
        return tuple(extent if isinstance(extent, int) else self._named(extent.value) for extent in shape)

    def _named(self, name: str | None) -> int | str | None:
        return name if name is None else self.made_up.get(name, name)

    def place(self, node: ir.Node, index: int) -> Place:
        """An operand that is there, by itself where it is constant: other nodes may read the same one otherwise."""
        value = node.inputs[index]
        assert value is not None
        return Operand(node, index) if value in self.constants else value

    def extent(self, place: Place, axis: int) -> int | None:
        """How many features lie along an axis, where that is known."""
        extents = self.of(place)
        extent = extents[axis] if extents is not None and axis < len(extents) else None
        return extent if isinstance(extent, int) else None

    def is_settled(self, value: ir.Value) -> bool:
        """Whether nothing can be learned of a result, since inference knows its rank and made up no name."""
        return id(shape_of(value)) in self._settled

    def learn(self, node: ir.Node, rule: AxisRule) -> None:
        """Take from what a rule says the extents of results of which ONNX infers not even the rank."""
        # An axis of a result is as long as the axes of operands that are the same. So nothing but the groups of a rule
        # is needed, and the rank, for axes that are in no group.
        for index, rank in rule.ranks.items():
            value = node.outputs[index]
            shape = shape_of(value)
            if self.is_settled(value):
                continue
            if shape is not None:
                self._name(node, rule, index, shape)
            else:
                extents: list[int | str | None] = [None] * rank
                for group in rule.same:
                    common = self._common(node, group)
                    for ref in group:
                        if ref.is_result and ref.slot == index:
                            extents[ref.axis] = rule.told.get(ref, common)
                self.learned[value] = tuple(extents)

    def _name(self, node: ir.Node, rule: AxisRule, index: int, shape: ir.Shape) -> None:
        """Learn the extents of axes of a result that have a name which inference made up."""
        # Inference gives such names anew at every node, so that two of them may well be the same extent.
        names = [(axis, extent.value) for axis, extent in enumerate(shape) if not isinstance(extent, int)]
        unknown = [(axis, name) for axis, name in names if name is not None and name.startswith(MADE_UP)]
        if not unknown:
            self._settled[id(shape)] = shape
        for axis, name in unknown:
            if name in self.made_up:
                continue
            ref = AxisRef(True, index, axis)
            group = next((group for group in rule.same if ref in group), None)
            common = self._common(node, group) if group is not None else None
            known = rule.told[ref] if ref in rule.told else common if isinstance(common, int) else None
            if rule.regrouped is not None and index == 0 and axis < len(rule.regrouped.after):
                known = rule.regrouped.after[axis]
            if known is not None and known != name:
                self.made_up[name] = known
                self._found.clear()

    def _common(self, node: ir.Node, group: tuple[AxisRef, ...]) -> int | str | None:
        """The extent to which the operands of a group broadcast."""
        places = [(node.inputs[ref.slot], ref.axis) for ref in group if not ref.is_result]
        here = [(self.of(value) or ())[axis] for value, axis in places if value is not None]
        known = [extent for extent in here if extent is not None and extent != 1]
        # 1 broadcasts to anything, so that an unknown extent beside it may be longer.
        return known[0] if known else (1 if here and None not in here else None)


class UnknownRuleError(Exception):
    """Why nothing is known of what an operator does to axes."""


@dataclass(frozen=True, eq=False)
class RuleView(NodeView):
    """A node as its rule looks at it: with the extents of its operands and results."""

    sizes: Sizes

    @cached_property
    def present(self) -> tuple[int, ...]:
        """Which operands are there."""
        return tuple(index for index, value in enumerate(self.node.inputs) if value is not None)

    @cached_property
    def results(self) -> tuple[int, ...]:
        """Which results have a name."""
        return tuple(index for index, value in enumerate(self.node.outputs) if value.name)

    def extents(self, index: int) -> Extents:
        """The extents of an operand of known rank."""
        # A rule that asks for what is not there ends here, and its operator pins what it reads.
        value = self.operand(index)
        if value is None:
            raise UnknownRuleError("lacks an operand")
        return self._known(value)

    def rank(self, index: int) -> int:
        """How many axes an operand has."""
        return len(self.extents(index))

    @property
    def made(self) -> Extents:
        """The extents of the first result, which has a known rank."""
        return self._known(self.node.outputs[0])

    def _known(self, value: ir.Value) -> Extents:
        extents = self.sizes.of(value)
        if extents is None:
            raise UnknownRuleError("reads or makes a value of unknown rank")
        return extents

    def told(self, name: str, index: int) -> list[int] | None:
        """Integers of an operand or attribute; None where they are left out, no rule where they are computed."""
        numbers = self.integers(name, index)
        # What is left out has a default, which the rule knows; what is computed may be anything.
        if numbers is None and self.is_told(name, index):
            raise UnknownRuleError(f"takes its {name} from what is computed")
        return numbers


def reads(axis: int, index: int = 0) -> AxisRef:
    """An axis of an operand, the first if nothing is said."""
    return AxisRef(False, index, axis)


def makes(axis: int, index: int = 0) -> AxisRef:
    """An axis of a result, the first if nothing is said."""
    return AxisRef(True, index, axis)


def aligned(view: RuleView, operands: Iterable[int], results: Iterable[int] = (0,), rank: int = 0) -> Groups:
    """Operands that broadcast, which lines up their axes from the last one on, to results of as many axes as the
    longest, or of `rank` where that is more."""
    ranks = {index: view.rank(index) for index in operands}
    return lined_up(tuple(ranks.items()), tuple(results), max(rank, *ranks.values()))


@functools.lru_cache(1 << 12)
def lined_up(ranks: tuple[tuple[int, int], ...], results: tuple[int, ...], rank: int) -> Groups:
    """Operands of these ranks lined up from the last axis on: the same for all nodes whose operands have them."""
    #     x  (2, 3, 4)    x0  x1  x2
    #     b     (3, 4)        b0  b1      one group a column; an operand of fewer axes is in none of the first
    #     y  (2, 3, 4)    y0  y1  y2
    return tuple(
        (
            # An operand of fewer axes begins only at the axis `rank - own` of the result.
            *(reads(axis - (rank - own), index) for index, own in ranks if axis >= rank - own),
            *(makes(axis, index) for index in results),
        )
        for axis in range(rank)
    )


def kept(axes: Iterable[int], targets: Iterable[int]) -> Groups:
    """Axes of the first operand that are those of the first result."""
    return tuple((reads(axis), makes(target)) for axis, target in zip(axes, targets, strict=True))


def all_but(groups: Groups, axis: int) -> Groups:
    """The groups of aligned axes but that of one axis of the results."""
    return groups[:axis] + groups[axis + 1 :]
