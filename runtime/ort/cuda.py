"""What of a session does not run on CUDA, and whether it can run as a CUDA graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from ...ir.files.reading import MODEL, read_bytes
from ...ir.graph.operators import CONTROL_FLOW, SIZED_BY_DATA
from ...ir.reason import Cause, Reason
from .library import EXECUTION_PROVIDER, SessionError
from .session import Session
from .tensor_spec import number_type

__all__ = ["LeftCuda", "graph_problem", "left_cuda", "placement"]

ASSIGNMENT = "get_provider_graph_assignment_info"  # a method of onnxruntime's sessions from 1.24 on


def placement(session: Session) -> dict[str, str]:
    """Which execution provider each node was assigned to, nodes inside subgraphs included.

    Keys are node names, or the operator where a node has no name, with '#2', '#3' … appended when they repeat.
    The nodes are those of the graph after ONNX Runtime's basic optimisations, in which some are folded away or fused;
    copies between devices are not among them. Raises SessionError before onnxruntime 1.24.
    """
    seen: Counter[str] = Counter()
    placed = {}
    for name, op, provider in _assigned(session):
        key = name or op
        seen[key] += 1
        placed[key if seen[key] == 1 else f"{key}#{seen[key]}"] = provider
    return placed


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftCuda:
    """Nodes that do not run on CUDA: those that compute, and those that only compute shapes.

    ONNX Runtime keeps the second kind on the CPU on purpose; the first kind costs copies between GPU and host.
    """

    compute: tuple[str, ...]
    shape: tuple[str, ...]


def left_cuda(session: Session) -> LeftCuda:
    """The nodes of a session that are not on CUDA; raises SessionError before onnxruntime 1.24."""
    left = [(name, op) for name, op, provider in _assigned(session) if provider != EXECUTION_PROVIDER["cuda"]]
    budget = Counter(_shape_nodes(_proto(session.source).graph)) if left else Counter()
    compute: list[str] = []
    shape: list[str] = []
    for name, op in left:
        key = name or op  # unnamed nodes are told apart by operator alone, so they are matched by number
        (shape if budget[key] > 0 else compute).append(key)
        budget[key] -= 1
    return LeftCuda(compute=tuple(compute), shape=tuple(shape))


def graph_problem(session: Session) -> Reason | None:
    """Why a session cannot run as a CUDA graph, as far as that shows beforehand; None where only trying can tell.

    Nodes that compute shapes may be on the CPU, as ONNX Runtime allows: with the same inputs the shapes are the same.
    """
    if session.provider != "cuda":
        return Reason(Cause.NO_PROVIDER, "CUDA graphs run on CUDA only")
    for spec in (*session.inputs, *session.outputs):
        if number_type(spec) is None:
            return Reason(Cause.DATA_TYPE, f"{spec.name!r} is {spec.dtype}, which cannot be bound to fixed memory")
    if not hasattr(session.ort, ASSIGNMENT):
        return None  # ONNX Runtime checks it when such a session is opened, it only says less about it
    for name, op, _ in _assigned(session):
        if op in CONTROL_FLOW:
            return Reason(Cause.NO_GRAPH, f"{name or op} is control flow ({op})")
        if op in SIZED_BY_DATA:
            return Reason(Cause.NO_GRAPH, f"the size of what {name or op} finds depends on the data ({op})")
    left = left_cuda(session).compute
    return Reason(Cause.NO_GRAPH, f"{left[0]} runs on the CPU") if left else None


def _assigned(session: Session) -> Iterator[tuple[str, str, str]]:
    """(node name, operator, execution provider) of each node."""
    if not hasattr(session.ort, ASSIGNMENT):
        raise SessionError("this onnxruntime does not tell which provider runs which node; install 1.24 or newer")
    for part in session.ort.get_provider_graph_assignment_info():
        for node in part.get_nodes():
            yield node.name, node.op_type, part.ep_name


def _proto(source: Path | bytes) -> onnx.ModelProto:
    data = source if isinstance(source, bytes) else read_bytes(source, MODEL)
    proto: onnx.ModelProto = onnx.ModelProto.FromString(data)
    return proto


def _shape_nodes(graph: onnx.GraphProto, constant: frozenset[str] = frozenset()) -> Iterator[str]:
    """Names (or operators) of the nodes that depend on shapes and constants alone, `Shape` itself included."""
    fixed = set(constant) | {tensor.name for tensor in graph.initializer}
    derived: set[str] = set()
    for node in graph.node:
        inputs = {name for name in node.input if name}
        bodies = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
        for body in bodies:
            yield from _shape_nodes(body, frozenset(fixed))
        if node.op_type == "Constant":
            fixed.update(node.output)
        elif node.op_type in ("Shape", "Size") or (inputs & derived and inputs <= derived | fixed and not bodies):
            derived.update(node.output)
            yield node.name or node.op_type
