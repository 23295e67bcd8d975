"""What no trial selected: operands of Where, all of them or beyond the first position, and entries of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.graph.constants import Constants
from ...ir.graph.linear import scopes
from ...ir.io.load import Model
from ...ir.onnx_ir import onnx_ir as ir
from ..inputs.inputs import index_bounds
from ..inputs.tables import Table, rows_read
from ..ort.library import Choice, SessionError
from ..ort.session import ModelSource, open_session
from .exercise import count_marks, mark_nodes, parts_of
from .probe_runs import expose

__all__ = ["hidden_by_masks", "never_picked", "never_read", "unpicked"]

Array = npt.NDArray[Any]

FAR = 10_000  # values looked at behind a condition
WHERES = 64  # conditions that are watched
PLACES = 2  # operands of a Where
ORDINAL = {1: "first", 2: "second"}


def hidden_by_masks(
    model: Model,
    path: Path,
    feeds: Sequence[Mapping[str, Array]],
    *,
    provider: Choice,
    threads: int | None,
    custom_ops: Sequence[Path],
) -> list[str]:
    """A sentence for each operand of a Where that these feeds hid: all of it, or in the main graph but its beginning.

    Only conditions that depend on what inputs hold, and not on their sizes or the number of a step alone, and operands
    that are no constants count: no other inputs would show more of the rest. Nothing where the conditions cannot be
    seen.
    """
    if not feeds:
        return []
    options: dict[str, Any] = {"provider": provider, "threads": threads, "custom_ops": custom_ops}
    return _in_main_graph(model, path, feeds, options) + _inside(model, feeds, options)


def never_picked(model: Model, feeds: Sequence[Mapping[str, Array]]) -> list[str]:
    """A sentence for each input that picks one entry of a table at a time, and in these feeds did not pick every one.

    Inputs that pick many at once, as token ids do, are left out: they are samples of what they may hold.
    """
    bounds = index_bounds(model.graph)
    return [
        f"input {name!r} picked {bounds[name][1] - len(left):,} of the {bounds[name][1]:,} entries of its table"
        for name, left in unpicked(model, feeds).items()
        if left
    ]


def never_read(
    model: Model, path: Path, feeds: Sequence[Mapping[str, Array]], apart: Mapping[Table, Array], **options: Any
) -> list[str]:
    """A sentence for each table of which two models have different rows, and these feeds read none of those.

    apart: which rows differ, booleans, for each table; options: of sessions. Nothing where what is read cannot be seen,
    nor of a branch or a body that never ran.
    """
    outer = {table: differs for table, differs in apart.items() if not table.scope}
    inner = {table: differs for table, differs in apart.items() if table.scope}
    return _never_read_outside(path, feeds, outer, options) + _never_read_inside(model, feeds, inner, options)


def _never_read_outside(
    path: Path, feeds: Sequence[Mapping[str, Array]], apart: Mapping[Table, Array], options: Mapping[str, Any]
) -> list[str]:
    told = []
    for table, differs in apart.items():
        try:
            names = list(dict.fromkeys(table.read))
            source = ModelSource(expose(path, names), str(path), path.absolute().parent)
            session = open_session(source, **options)
            seen = [rows_read(table, session.run(feed, names)) for feed in feeds]
        except SessionError:
            continue
        read = np.any(seen, axis=0) if seen else np.zeros(table.rows, bool)
        if differs.any() and not (differs & read).any():
            told.append(
                f"{table.address} read {int(read.sum()):,} of the {table.rows:,} rows of {table.data}, and the models "
                f"differ in {int(differs.sum()):,} of the others"
            )
    return told


def _never_read_inside(
    model: Model, feeds: Sequence[Mapping[str, Array]], apart: Mapping[Table, Array], options: Mapping[str, Any]
) -> list[str]:
    """The same of branches and bodies: what their nodes read of a vector that says which rows differ.

    In a copy of the model this stands before each node, for a Slice with Slice in place of Gather:

        differs, indices -- Gather -- ReduceSum -- Cast -- If { mark }
    """
    if not apart or not feeds:
        return []
    copy = model.graph.clone()
    nodes = {scope.address(node): node for scope in scopes(copy) for node in scope.graph}
    for number, (table, differs) in enumerate(apart.items()):
        node: Any = nodes[table.address]
        ran, read = mark_nodes(PLACES * number), _any_read(node, table, differs, PLACES * number + 1)
        node.graph.insert_before(node, [*ran, *read])
    try:
        runs = count_marks(model, copy, feeds, PLACES * len(apart), **options)
    except SessionError:
        return []
    counts = np.array(runs).sum(axis=0).reshape(len(apart), PLACES)
    return [
        f"{table.address} read none of the {int(differs.sum()):,} rows of {table.data} that the models differ in"
        for (table, differs), (ran, read) in zip(apart.items(), counts, strict=True)
        if ran and not read
    ]


def _any_read(node: Any, table: Table, differs: Array, number: int) -> list[Any]:
    """Nodes that run mark `number` where a node reads a row that differs."""
    rows = _constant(differs.astype(np.float32))
    if len(table.read) == 1:
        picked = ir.node("Gather", [rows.outputs[0], node.inputs[1]])
        return _named([rows, picked, *_marking(picked, number)], number)
    place, axis, step = (_constant(np.array([one], np.int64)) for one in (table.place, 0, table.step))
    bounds = [ir.node("Gather", [bound, place.outputs[0]]) for bound in node.inputs[1:3]]
    wide = [ir.node("Cast", [bound.outputs[0]], {"to": ir.DataType.INT64}) for bound in bounds]
    cut = ir.node("Slice", [one.outputs[0] for one in (rows, *wide, axis, step)])
    return _named([rows, place, axis, step, *bounds, *wide, cut, *_marking(cut, number)], number)


def unpicked(model: Model, feeds: Sequence[Mapping[str, Array]]) -> dict[str, list[int]]:
    """The entries that each input which picks one of a table at a time has not picked in these feeds, by name."""
    found = {}
    for name, (low, high) in index_bounds(model.graph).items():
        given = [np.asarray(feed[name]) for feed in feeds if name in feed]
        if given and all(one.size == 1 for one in given):
            picked = {int(one.item()) % (high - low) for one in given}
            found[name] = [entry for entry in range(high - low) if entry not in picked]
    return found


def _in_main_graph(
    model: Model, path: Path, feeds: Sequence[Mapping[str, Array]], options: Mapping[str, Any]
) -> list[str]:
    wheres = _wheres(model.graph)
    if not wheres:
        return []
    names = list(dict.fromkeys(node.inputs[0].name for node, _ in wheres))
    given = {name for feed in feeds for name in feed}
    try:
        exposed = expose(path, [name for name in names if name not in given])
        source = ModelSource(exposed, str(path), path.absolute().parent)
        session = open_session(source, **options)
        seen = [dict(feed) | session.run(feed, [name for name in names if name not in given]) for feed in feeds]
    except SessionError:
        return []
    constants = Constants(model.graph)
    found = []
    for node, address in wheres:
        conditions = [np.asarray(values[node.inputs[0].name], bool) for values in seen]
        for place in (1, 2):
            operand = node.inputs[place]
            if operand is not None and operand not in constants:
                said = _said([one if place == 1 else ~one for one in conditions])
                found += [_sentence(said, place, address)] if said else []
    return found


def _sentence(said: str, place: int, address: str) -> str:
    return f"{said} of the {ORDINAL[place]} operand of {address} was ever selected"


def _inside(model: Model, feeds: Sequence[Mapping[str, Array]], options: Mapping[str, Any]) -> list[str]:
    """The same for branches and bodies, whose values cannot be seen from outside.

    In a copy of the model an If stands before each Where for each of its operands, which runs a marked node where the
    condition selects any of it:

        cond -- Cast -- ReduceSum -- Cast -- If { mark }
    """
    copy = model.graph.clone()
    wheres = _wheres_inside(copy)
    if not wheres:
        return []
    for number, (node, _) in enumerate(wheres):
        for place in (1, 2):
            assert node.graph is not None
            node.graph.insert_before(node, _any_selected(node.inputs[0], place, PLACES * number + place - 1))
    try:
        runs = count_marks(model, copy, feeds, PLACES * len(wheres), **options)
    except SessionError:
        return []
    ran = np.array(runs).sum(axis=0).reshape(len(wheres), PLACES) > 0
    constants, found = Constants(copy), []
    for (node, address), selected in zip(wheres, ran, strict=True):
        for place in (1, 2):
            if selected.any() and not selected[place - 1] and node.inputs[place] not in constants:
                found.append(_sentence("nothing", place, address))
    return found


def _any_selected(condition: Any, place: int, number: int) -> list[Any]:
    """Nodes that run mark `number` where a condition selects any of the operand at a place."""
    chosen = [] if place == 1 else [ir.node("Not", [condition])]
    counted = ir.node("Cast", [chosen[0].outputs[0] if chosen else condition], {"to": ir.DataType.FLOAT})
    return _named([*chosen, counted, *_marking(counted, number)], number)


def _marking(counted: Any, number: int) -> list[Any]:
    """Nodes that run mark `number` where any output of a node, floats, is more than 0."""
    total = ir.node("ReduceSum", [counted.outputs[0]], {"keepdims": 0})
    some = ir.node("Cast", [total.outputs[0]], {"to": ir.DataType.BOOL})
    marked, other = mark_nodes(number), _constant(np.zeros(1, np.float32))
    other.name = other.outputs[0].name = f"scission.any.{number}.none"
    ways = {"then_branch": marked, "else_branch": [other]}
    graphs = {way: ir.Graph([], [nodes[-1].outputs[0]], nodes=nodes, name=way) for way, nodes in ways.items()}
    return [total, some, ir.node("If", [some.outputs[0]], graphs)]


def _constant(array: Array) -> Any:
    return ir.node("Constant", [], {"value": ir.tensor(array)})


def _named(nodes: list[Any], number: int) -> list[Any]:
    """The same nodes with names that nothing else of the model has."""
    for at, node in enumerate(nodes):
        node.name = node.outputs[0].name = f"scission.any.{number}.{at}"
    return nodes


def _wheres(model: ir.Model) -> list[tuple[Any, str]]:
    """The Where nodes of the main graph whose condition depends on what an input holds, and their addresses."""
    scope = next(iter(scopes(model)))
    return [(node, scope.address(node)) for node in _selecting(scope.graph)[:WHERES] if _depends(node.inputs[0], {})]


def _wheres_inside(model: ir.Model) -> list[tuple[Any, str]]:
    """The same of branches and bodies; those of functions are left out."""
    parts = {part.graph: part.node for part in parts_of(model)}
    fed = {value: (graph, place) for graph in parts for place, value in enumerate(graph.inputs)}
    around = {value: _sources(parts[graph], graph, place) for value, (graph, place) in fed.items()}
    inner = [scope for scope in scopes(model) if scope.graph in parts and not scope.in_function]
    nodes = [(node, scope.address(node)) for scope in inner for node in _selecting(scope.graph)]
    return [(node, address) for node, address in nodes[:WHERES] if _depends(node.inputs[0], around)]


def _selecting(graph: Any) -> list[Any]:
    return [node for node in graph if node.op_type == "Where" and len(node.inputs) == 3 and node.inputs[0]]


def _sources(node: Any, body: ir.Graph, place: int) -> list[Any]:
    """Where the input of a body comes from: from outside and from the step before; the number of a step has none."""
    if node.op_type == "Loop" and place == 0:
        return []
    handed = place - (node.op_type == "Loop")  # the first output of the body of a Loop says whether it goes on
    outer = [node.inputs[place]] if place < len(node.inputs) and node.inputs[place] is not None else []
    return outer + ([body.outputs[handed]] if handed < len(body.outputs) else [])


def _depends(value: Any, around: Mapping[Any, Sequence[Any]]) -> bool:
    """Whether a value depends on what an input holds. around: what inputs of branches and bodies come from."""
    stack, seen = [value], {value}
    while stack and len(seen) < FAR:
        one = stack.pop()
        if one.is_graph_input() and one.const_value is None and one not in around:
            return True
        node = one.producer()
        if node is not None and node.op_type in ("Shape", "Size"):
            continue
        sources = around.get(one, ()) if node is None else node.inputs
        new = {source for source in sources if source is not None} - seen
        seen |= new
        stack += new
    return False


def _said(selected: Sequence[Array]) -> str:
    """What was selected at most, '' where that is enough."""
    if not any(one.any() for one in selected):
        return "nothing"
    for axis in range(max(one.ndim for one in selected)):
        long = [one for one in selected if axis < one.ndim and one.shape[axis] > 1]
        if long and not any(np.moveaxis(one, axis, 0)[1:].any() for one in long):
            return f"only the first position along axis {axis}"
    return ""
