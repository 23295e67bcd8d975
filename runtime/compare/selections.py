"""What a mask hid in every trial: operands of Where that were never selected, or never beyond the first position."""

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
from ..ort.library import Choice, SessionError
from ..ort.session import ModelSource, open_session
from .probe_runs import expose

__all__ = ["hidden_by_masks"]

Array = npt.NDArray[Any]

FAR = 10_000  # values looked at behind a condition
WHERES = 64  # conditions that are watched
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
    """A sentence for each operand of a Where in the main graph that these feeds hid, all of it or but its beginning.

    Only conditions that depend on what inputs hold, and not on their sizes alone, and operands that are no constants
    count: no other inputs would show more of the rest. Nothing where the conditions cannot be seen.
    """
    wheres = _wheres(model.graph)
    if not wheres or not feeds:
        return []
    names = list(dict.fromkeys(node.inputs[0].name for node, _ in wheres))
    given = {name for feed in feeds for name in feed}
    try:
        exposed = expose(path, [name for name in names if name not in given])
        source = ModelSource(exposed, str(path), path.absolute().parent)
        session = open_session(source, provider=provider, threads=threads, custom_ops=custom_ops)
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
                found += [f"{said} of the {ORDINAL[place]} operand of {address} was ever selected"] if said else []
    return found


def _wheres(model: ir.Model) -> list[tuple[Any, str]]:
    """The Where nodes of the main graph whose condition depends on what an input holds, and their addresses."""
    scope = next(iter(scopes(model)))
    nodes = [node for node in scope.graph if node.op_type == "Where" and len(node.inputs) == 3 and node.inputs[0]]
    return [(node, scope.address(node)) for node in nodes[:WHERES] if _depends(node.inputs[0])]


def _depends(value: Any) -> bool:
    stack, seen = [value], {value}
    while stack and len(seen) < FAR:
        one = stack.pop()
        if one.is_graph_input() and one.const_value is None:
            return True
        node = one.producer()
        if node is None or node.op_type in ("Shape", "Size"):
            continue
        new = {source for source in node.inputs if source is not None} - seen
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
