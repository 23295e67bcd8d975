"""Which operators may make NaN or infinity of what constants hold: zero times that is not zero."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.axes.axis_rule import Sizes
from ....ir.errors import ModelError
from ....ir.graph.node import FLOATS, NodeView, subgraphs
from ....ir.graph.operators import POINTWISE, is_standard
from ....ir.onnx_ir import onnx_ir as ir
from .interval import Interval
from .scan import Scan, scanned

__all__ = ["Oddities", "diverges"]

LARGEST = {ir.DataType.FLOAT16: 65504.0}  # of a type, that of 32 bits where nothing else is said


@dataclass(frozen=True, slots=True, eq=False)
class Oddities:
    """What of a main graph may be NaN or infinite for a constant's sake, found from its first operator to its last.

    odd: values of which nothing may be said; scans: of the constants that were read; masked: scores of which some are
    minus infinity, in each row not all, so that a softmax makes zeros of them.
    """

    #     scores + mask    [ 0.3  0.1 -inf ]   softmax → [ 0.55 0.45 0 ]      masked: finite again
    #     h × [1 nan 2]    [ 0.3  nan  0.2 ]   relu, min(·, 0) → nan, not 0    odd:   and all that is computed of it
    sizes: Sizes
    odd: set[ir.Value] = field(default_factory=set)
    masked: set[ir.Value] = field(default_factory=set)
    scans: dict[ir.Value, Scan] = field(default_factory=dict)

    def meets(self, node: ir.Node) -> bool:
        """Whether nothing may be said of the results of a node; what comes before it was asked before."""
        if not node.attributes and self._is_even(node):
            return False
        read = list(_read(node))
        constants = [value for value in read if value in self.sizes.constants]
        odd = not self.odd.isdisjoint(read) or not all(map(_is_finite_attribute, _attributes(node)))
        infinite = [value for value in constants if not self._is_finite(value)]
        if not odd and not infinite and self.masked.isdisjoint(read):
            return False
        if not odd and is_standard(node):
            if self._clips(node, infinite) or self._weighs(node):
                return False
            if self._masks(node, infinite):
                self.masked.update(node.outputs)
                return False
        self.spread(node)
        return True

    def _is_even(self, node: ir.Node) -> bool:
        """Whether there is nothing odd about what a node without any attribute reads."""
        for value in node.inputs:
            if value in self.odd or value in self.masked:
                return False
            if value is not None and value in self.sizes.constants and not self._is_finite(value):
                return False
        return True

    def spread(self, node: ir.Node) -> None:
        """Nothing may be said of what is computed from the results of a node; integers are never odd."""
        self.odd.update(value for value in node.outputs if value.dtype is None or value.dtype in FLOATS)

    def _is_finite(self, value: ir.Value) -> bool:
        if value not in self.scans:
            constants = self.sizes.constants
            try:
                kind = constants.describe(value)[1]
                self.scans[value] = scanned(constants.read(value), kind) if kind in FLOATS else Scan(True)
            except (ModelError, ValueError):
                self.scans[value] = Scan(False)
        return self.scans[value].is_finite

    def _clips(self, node: ir.Node, infinite: list[ir.Value]) -> bool:
        """Whether a Clip has no bound on one side, which is all that is infinite."""
        if node.op_type != "Clip" or not self.masked.isdisjoint(node.inputs):
            return False
        bounds = list(zip(node.inputs[1:], (-np.inf, np.inf), strict=False))
        return all(
            node.inputs[0] is not value and any(value is end and self._all_are(value, open_) for end, open_ in bounds)
            for value in infinite
        )

    def _all_are(self, value: ir.Value, number: float) -> bool:
        return bool((self.sizes.constants.read(value) == number).all())

    def _weighs(self, node: ir.Node) -> bool:
        """Whether it is a softmax along the last axis of masked scores."""
        value = node.inputs[0] if node.inputs else None
        if node.op_type != "Softmax" or value not in self.masked or value is None:
            return False
        rank = len(self.sizes.of(value) or ())
        return bool(rank) and NodeView(node, self.sizes.constants).softmax_axis in (-1, rank - 1)

    def _masks(self, node: ir.Node, infinite: list[ir.Value]) -> bool:
        """Whether it makes some scores of each row minus infinity, or goes on with scores that are masked."""
        read = [value for value in node.inputs if value is not None]
        held = [value for value in read if value in self.masked]
        if node.op_type == "Identity" or (node.op_type == "Add" and not infinite):
            return len(held) == 1
        if held or any(not self._is_mask(value) for value in infinite):
            return False
        if node.op_type == "Add":
            return len(read) == 2 and len(infinite) == 1 and self._some_are_finite(infinite[0])
        if node.op_type != "Where" or len(read) != 3:
            return False
        chosen, *sides = read
        if chosen not in self.sizes.constants:
            return len(infinite) == 1  # what decides is fed, or follows from the extents of what is
        finite = [np.isfinite(self.sizes.constants.read(one)) if one in infinite else np.True_ for one in sides]
        return _in_each_row(np.where(self.sizes.constants.read(chosen), *finite))

    def _is_mask(self, value: ir.Value) -> bool:
        held = self.sizes.constants.read(value)
        return bool((np.isfinite(held) | (held == -np.inf)).all())

    def _some_are_finite(self, value: ir.Value) -> bool:
        return _in_each_row(np.isfinite(self.sizes.constants.read(value)))


def diverges(node: ir.Node, given: Sequence[Interval], found: Interval | None) -> bool:
    """Whether constants make something of a result that is not finite, whatever a model is fed: log(-1), x / 0."""
    if found is None:
        return False
    if node.op_type == "BatchNormalization":  # of a variance below zero
        return bool(np.isnan(found.low).any())
    if node.op_type not in POINTWISE:
        return False
    if node.op_type == "Div" and ((given[1].low == 0) & (given[1].high == 0)).any():
        return True
    largest = LARGEST.get(node.outputs[0].dtype or ir.DataType.FLOAT, float(np.finfo(np.float32).max))
    constant = np.logical_and.reduce(np.broadcast_arrays(*(one.known for one in given)))
    outside = ~((np.abs(found.low) <= largest) & (np.abs(found.high) <= largest))
    return bool((constant & outside).any())


def _in_each_row(some: npt.NDArray[Any]) -> bool:
    return bool(some.ndim) and bool(some.any(axis=-1).all())


def _attributes(node: ir.Node) -> Iterator[ir.Attr]:
    for one in _nodes(node):
        # What a Clip was told by attributes before it had operands.
        yield from () if one.op_type == "Clip" else (a for a in one.attributes.values() if not a.is_ref())


def _is_finite_attribute(attribute: ir.Attr) -> bool:
    if attribute.type == ir.AttributeType.FLOAT:
        return math.isfinite(attribute.value)
    if attribute.type == ir.AttributeType.FLOATS:
        return all(map(math.isfinite, attribute.value))
    if attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype in FLOATS:
        return scanned(attribute.value.numpy(), attribute.value.dtype).is_finite
    return True


def _read(node: ir.Node) -> Iterator[ir.Value]:
    """What a node reads, and whatever is inside of it."""
    for one in _nodes(node):
        yield from (value for value in one.inputs if value is not None)


def _nodes(node: ir.Node) -> Iterator[ir.Node]:
    """A node and those of its subgraphs."""
    yield node
    for *_, graph in subgraphs(node):
        for inner in graph:
            yield from _nodes(inner)
