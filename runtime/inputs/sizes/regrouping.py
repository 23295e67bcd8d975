"""What a Reshape to a fixed shape demands of the sizes of inputs: it keeps the number of entries."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ....ir.errors import ScissionError
from ....ir.graph.constants import Constants
from ....ir.graph.shapes import shape_of
from ....ir.graph.sizes import extent
from ....ir.onnx_ir import onnx_ir as ir

__all__ = ["Dim", "Regrouped", "dims_of", "groupings", "integers_of", "regrouped"]

Dim: TypeAlias = "int | str | None"

LONGEST = 12  # entries of a shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Regrouped:
    """Dimensions that one Reshape turns into `entries` entries, or where it is not `exact` into a multiple of them."""

    dims: tuple[Dim, ...]
    entries: int
    exact: bool

    def known(self, sizes: Mapping[str, int]) -> tuple[int, list[str | None]]:
        """The product of the dimensions that have a size, and the others."""
        found = [sizes.get(dim) if isinstance(dim, str) else dim for dim in self.dims]
        others = [str(dim) if dim else None for dim, size in zip(self.dims, found, strict=True) if size is None]
        return math.prod(size for size in found if size is not None), others

    def refuses(self, sizes: Mapping[str, int]) -> bool:
        """Whether this Reshape cannot run at these sizes, whatever the others are."""
        count, others = self.known(sizes)
        if not others:
            return count != self.entries if self.exact else count % self.entries != 0
        return self.exact and (not count or self.entries % count != 0)

    def solved(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """The size of the only dimension that has none, where there is one with which this Reshape runs."""
        count, others = self.known(sizes)
        names = {one for one in others if one is not None}
        if not self.exact or len(names) != 1 or None in others or not count or self.entries % count:
            return {}
        size = round((self.entries // count) ** (1 / len(others)))
        return {names.pop(): size} if count * size ** len(others) == self.entries else {}


def regrouped(graph: ir.Model) -> Iterator[Regrouped]:
    """What each Reshape that always runs demands; shapes are those that ONNX infers."""
    constants = Constants(graph)
    for node in graph.graph:
        dims, target = _regrouping(node, constants)
        entries = math.prod(size for size in target if size > 0)
        if dims and target and 0 not in target and entries:
            yield Regrouped(dims=tuple(dims), entries=entries, exact=-1 not in target)


def groupings(graph: ir.Model, symbols: set[str]) -> Iterator[dict[str, int]]:
    """Sizes of symbols where neighbouring entries of the fixed target of a Reshape, multiplied, are its dimensions."""
    constants = Constants(graph)
    for node in graph.graph.all_nodes():
        dims, target = _regrouping(node, constants)
        if not dims or 0 in target or len(target) < len(dims):
            continue
        for cuts in itertools.combinations(range(1, len(target)), len(dims) - 1):
            ends = [0, *cuts, len(target)]
            sizes = [math.prod(target[first:last]) for first, last in itertools.pairwise(ends)]
            pairs = [(dim, size) for dim, size in zip(dims, sizes, strict=True) if size > 0]  # -1 is whatever is left
            if all(dim == size if isinstance(dim, int) else dim in symbols for dim, size in pairs):
                found = {dim: size for dim, size in pairs if isinstance(dim, str)}
                if found and all(found[dim] == size for dim, size in pairs if isinstance(dim, str)):
                    yield found


def _regrouping(node: ir.Node, constants: Constants) -> tuple[list[Dim], list[int]]:
    """The dimensions that a Reshape regroups and the fixed shape that they get, without those in front that stay."""
    dims = dims_of(node.inputs[0]) if node.op_type == "Reshape" else None
    target = integers_of(node.inputs[1], constants) if dims else []
    while dims and target and target[0] == 0:  # is as it was
        dims, target = dims[1:], target[1:]
    return dims or [], target


def dims_of(value: ir.Value | None) -> list[Dim] | None:
    """The dimensions of a value as inference or the graph tells them, None where neither does."""
    if value is None:
        return None
    shape: Any = shape_of(value) or value.shape or (value.const_value.shape if value.const_value is not None else None)
    return None if shape is None else [extent(dim) for dim in shape]


def integers_of(value: ir.Value | None, constants: Constants) -> list[int]:
    """The entries of a constant that may be a shape; nothing where it is none."""
    if value is None or value not in constants:
        return []
    try:
        shape, dtype = constants.describe(value)
        if math.prod(shape) > LONGEST or dtype not in (ir.DataType.INT64, ir.DataType.INT32):
            return []
        return [int(one) for one in np.ravel(constants.read(value))]
    except ScissionError:
        return []
