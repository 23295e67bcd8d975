"""Constant tables of which inputs decide what is read: embeddings of tokens, positions up to a length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.errors import ScissionError
from ...ir.graph.constants import Constants
from ...ir.graph.linear import Scope, scopes
from ...ir.io.tensors import inner_graphs
from ...ir.onnx_ir import onnx_ir as ir
from .positions import cut_axes

__all__ = ["Table", "rows_read", "tables_apart", "tables_of"]

Array: TypeAlias = "npt.NDArray[Any]"

AT_ONCE = 1 << 24  # entries of a table that are compared at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A constant of which one node reads some rows, which follow from inputs.

    address: of the node; data: the constant, by name; axis, rows: along which it is read, and how many there are; read:
    names of what says which: indices of a Gather, or starts and ends of a Slice, and then the place of the axis in
    those, the step besides; scope: path of the graph that the node is in, '' for the main one.
    """

    address: str
    data: str
    axis: int
    rows: int
    read: tuple[str, ...]
    place: int = 0
    step: int = 1
    scope: str = ""


def tables_of(model: ir.Model) -> list[Table]:
    """The tables that Gathers and Slices read at places which are not constant, in branches and bodies as well."""
    constants = Constants(model)
    return [replace(table, scope=scope.path) for scope in scopes(model) for table in _tables_in(scope, constants)]


def _tables_in(scope: Scope, constants: Constants) -> list[Table]:
    found: list[Table] = []
    for node in scope.graph:
        data, where = (*node.inputs[:2], None, None)[:2]
        if node.op_type not in ("Gather", "Slice") or data is None or where is None or data not in constants:
            continue
        try:
            shape, _ = constants.describe(data)
        except ScissionError:
            continue
        reader = _gathered if node.op_type == "Gather" else _cut
        found += reader(node, scope.address(node), data.name or "", shape, constants)
    return found


def _gathered(node: ir.Node, address: str, data: str, shape: Sequence[int], constants: Constants) -> Iterator[Table]:
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
    indices = node.inputs[1]
    if indices is not None and indices not in constants and indices.name and -len(shape) <= axis < len(shape):
        yield Table(address=address, data=data, axis=axis % len(shape), rows=shape[axis], read=(indices.name,))


def _cut(node: ir.Node, address: str, data: str, shape: Sequence[int], constants: Constants) -> Iterator[Table]:
    bounds = [one for one in node.inputs[1:3] if one is not None and one.name]
    axes = cut_axes(node, constants)
    if len(bounds) < 2 or axes is None or all(one in constants for one in bounds):
        return
    steps = node.inputs[4] if len(node.inputs) > 4 else None
    try:
        pace = [1] * len(axes) if steps is None else [int(one) for one in constants.read(steps).ravel()]
    except ScissionError:
        return
    for place, axis in enumerate(axes):
        if -len(shape) <= axis < len(shape) and shape[axis] > 1:
            names = tuple(one.name or "" for one in bounds)
            axis %= len(shape)
            yield Table(
                address=address, data=data, axis=axis, rows=shape[axis], read=names, place=place, step=pace[place]
            )


def rows_read(table: Table, values: Mapping[str, Array]) -> Array:
    """Which rows are read, booleans (rows,), where what says so holds these values.

    >>> cut = Table(address="s", data="t", axis=0, rows=4, read=("start", "end"))
    >>> rows_read(cut, {"start": np.array([1]), "end": np.array([-1])})
    array([False,  True,  True, False])
    """
    read = np.zeros(table.rows, bool)
    if len(table.read) == 1:
        read[np.asarray(values[table.read[0]]).ravel()] = True
    else:
        start, end = (int(np.ravel(values[name])[table.place]) for name in table.read)
        read[slice(start, None if table.step < 0 and end < -table.rows else end, table.step)] = True
    return read


def tables_apart(one: ir.Model, other: ir.Model) -> dict[Table, Array]:
    """The tables of one model that are not the same in another, and which of their rows are not."""
    sides = _Named(one), _Named(other)
    found = {table: _rows_apart(table, *sides) for table in tables_of(one)}
    return {table: rows for table, rows in found.items() if rows is not None and rows.any()}


def _rows_apart(table: Table, one: _Named, other: _Named) -> Array | None:
    """Which rows are not the same in two models, booleans (rows,); None where one of them has no such constant."""
    tables = [side.read(table) for side in (one, other)]
    if any(found is None for found in tables) or tables[0].shape != tables[1].shape:  # type: ignore[union-attr]
        return None
    first, second = (np.moveaxis(np.asarray(found), table.axis, 0).reshape(table.rows, -1) for found in tables)
    if first.dtype != second.dtype:
        return None
    step = max(AT_ONCE // max(first.shape[1], 1), 1)
    return np.concatenate(
        [_apart(first[at : at + step], second[at : at + step]).any(axis=1) for at in range(0, table.rows, step)]
    )


def _apart(one: Array, other: Array) -> Array:
    """Where two arrays differ; what is no number is the same as itself."""
    return np.asarray((one != other) & ~((one != one) & (other != other)))


class _Named:
    """The constants of a model by the name that they have in one of its graphs."""

    def __init__(self, model: ir.Model) -> None:
        self.constants = Constants(model)
        self.graphs = {scope.path: scope.graph for scope in scopes(model)}
        self.around = {inner: one for one in self.graphs.values() for node in one for inner in inner_graphs(node)}
        self.made: dict[Any, dict[str | None, ir.Value]] = {}

    def read(self, table: Table) -> Array | None:
        """What a table holds, None where the graph that it is read in does not see a constant of its name."""
        graph: Any = self.graphs.get(table.scope)
        while graph is not None:
            if graph not in self.made:
                given = graph.initializers if isinstance(graph, ir.Graph) else {}
                self.made[graph] = {value.name: value for node in graph for value in node.outputs} | {**given}
            value = self.made[graph].get(table.data)
            if value is not None:
                try:
                    return self.constants.read(value) if value in self.constants else None
                except ScissionError:
                    return None
            graph = self.around.get(graph)
        return None
