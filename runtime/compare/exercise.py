"""What of a model ran: branches of If, and how often the bodies of loops did one after another."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...ir.graph.linear import scopes
from ...ir.io.load import Model
from ...ir.io.save import save
from ...ir.io.tensors import inner_graphs
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.staging.folder import temporary_folder
from ..ort.library import Choice, SessionError
from ..ort.session import ModelSource, Session, open_session

__all__ = ["Part", "count_marks", "mark_nodes", "observe", "parts_of"]

Array = npt.NDArray[Any]

MARK = re.compile(r"scission\.(ran|loop)\.(\d+)\.")
RUN = "model_run"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """A graph inside a node, which does not run with every input.

    place: address of the node and name of the attribute; kind: a branch, which is exercised when it runs, or a body,
    which is when it runs twice in one go: what it hands from step to step shows in the second.
    """

    place: str
    kind: Literal["branch", "body"]
    graph: ir.Graph
    node: ir.Node

    @property
    def least(self) -> int:
        """How often it must run to be exercised."""
        return 1 if self.kind == "branch" else 2


def parts_of(model: ir.Model) -> list[Part]:
    """Every graph inside a node, those of functions that are called included, outermost first."""
    found = []
    unused = set(model.functions) - _called(model)
    # The node that a graph is inside of, and the outermost of its graphs.
    around: dict[Any, tuple[ir.Node | None, Any]] = {}
    for scope in scopes(model):
        node, root = around.get(scope.graph, (None, scope.graph))
        around |= {graph: (one, root) for one in scope.graph for graph in inner_graphs(one)}
        if node is None or (isinstance(root, ir.Function) and root.identifier() in unused):
            continue
        assert isinstance(scope.graph, ir.Graph)
        kind: Literal["branch", "body"] = "branch" if node.op_type == "If" else "body"
        found.append(Part(place=scope.path.rstrip("/"), kind=kind, graph=scope.graph, node=node))
    return found


def _called(model: ir.Model) -> set[Any]:
    """The functions that the main graph calls, by way of others too."""
    stack: list[Any] = list(model.graph.all_nodes())
    called: set[Any] = set()
    while stack:
        key = stack.pop().op_identifier()
        if key in model.functions and key not in called:
            called.add(key)
            stack += model.functions[key].all_nodes()
    return called


def observe(
    model: Model,
    feeds: Sequence[Mapping[str, Array]],
    *,
    provider: Choice,
    threads: int | None,
    custom_ops: Sequence[Path],
) -> list[tuple[int, ...]]:
    """For each feed how often each of `parts_of` ran: a branch in all, a body at most in one go.

    Raises SessionError as `count_marks` does.
    """
    graph = model.graph.clone()
    parts = parts_of(graph)
    for number, part in enumerate(parts):
        _mark(part, number)
    return count_marks(model, graph, feeds, len(parts), provider=provider, threads=threads, custom_ops=custom_ops)


def count_marks(
    model: Model,
    graph: ir.Model,
    feeds: Sequence[Mapping[str, Array]],
    marks: int,
    *,
    provider: Choice,
    threads: int | None,
    custom_ops: Sequence[Path],
) -> list[tuple[int, ...]]:
    """For each feed how often each of so many marked nodes ran, in one go of a loop that is marked as well.

    graph: a copy of the model with nodes of `mark_nodes`; it runs under ONNX Runtime's profiler, without optimisations,
    in which nodes could vanish. A feed that it does not run counts as having run nothing. Raises SessionError when the
    copy cannot be opened.
    """
    with temporary_folder() as folder:
        path, profile = folder / "marked.onnx", folder / "profile"
        _import_standard(graph)
        save(model, graph, path)
        session = open_session(
            ModelSource(path, model.name),
            provider=provider,
            threads=threads,
            optimize=False,
            custom_ops=custom_ops,
            profile=profile,
        )
        ran = [_ran(session, feed) for feed in feeds]
        counts = _counts(session.events(), marks)
    if len(counts) == sum(ran) != len(ran):  # a run that failed left no trace
        each = iter(counts)
        return [next(each) if fine else (0,) * marks for fine in ran]
    if len(counts) != len(ran):
        return [(0,) * marks] * len(ran)
    return [count if fine else (0,) * marks for count, fine in zip(counts, ran, strict=True)]


def _mark(part: Part, number: int) -> None:
    """Add a node that does nothing but run, and give the node around it a name that the profile shows."""
    nodes, marker = list(part.graph), mark_nodes(number)
    if nodes:
        part.graph.insert_before(nodes[0], marker)
    else:
        part.graph.extend(marker)
    if part.kind == "body":
        part.node.name = f"scission.loop.{number}."


def mark_nodes(number: int) -> list[ir.Node]:
    """A constant and the node that reads it, whose name the profile shows: its output is that of the last."""
    one = ir.tensor(np.zeros(1, np.float32), name=f"scission.mark.{number}")
    constant = ir.node("Constant", [], attributes={"value": one}, name=f"scission.mark.{number}.")
    marker = ir.node("Identity", [constant.outputs[0]], name=f"scission.ran.{number}.")
    constant.outputs[0].name, marker.outputs[0].name = f"scission.mark.{number}", f"scission.marked.{number}"
    return [constant, marker]


def _import_standard(graph: ir.Model) -> None:
    owners: list[Any] = [graph, *graph.functions.values()]
    for owner in owners:
        if not {"", "ai.onnx"} & set(owner.opset_imports):
            owner.opset_imports[""] = graph.opset_imports.get("", graph.opset_imports.get("ai.onnx", 17))


def _ran(session: Session, feed: Mapping[str, Array]) -> bool:
    try:
        session.run(feed)
    except SessionError:
        return False
    return True


def _counts(events: Sequence[tuple[str, int, int]], parts: int) -> list[tuple[int, ...]]:
    """For each run of the model how often each part ran, from (name, start, duration) of what the profiler saw."""
    runs = [(start, start + seconds) for name, start, seconds in events if name == RUN]
    seen: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for name, start, seconds in events:
        found = MARK.search(name)
        if found is not None:
            seen.setdefault((found[1], int(found[2])), []).append((start, start + seconds))
    return [
        tuple(_most(seen.get(("ran", part), []), seen.get(("loop", part), []), *run) for part in range(parts))
        for run in runs
    ]


def _most(marks: Sequence[tuple[int, int]], loops: Sequence[tuple[int, int]], start: int, end: int) -> int:
    """The marks of one run, or the most of them in any one of the loops that lie in it."""
    inside = [mark for mark in marks if start <= mark[0] <= end]
    spans = [loop for loop in loops if start <= loop[0] and loop[1] <= end]
    if not spans:
        return len(inside)
    return max(sum(first <= mark[0] <= last for mark in inside) for first, last in spans)
