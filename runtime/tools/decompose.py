"""The functions of `scission.graphsurgeon`: those of scission for graphs of onnx_graphsurgeon alone."""

from __future__ import annotations

import importlib
from typing import Any

import onnx

from ...ir.findings.difference import Difference
from ...ir.findings.inspection import Inspection
from ...ir.given.sources import SourceTypeError
from ...ir.given.surgeon import exported, imported, is_surgeon_graph
from ...ir.plan.plan import Plan
from ..ort.trials import Trials
from ..pipeline.diff import diff as diff_models
from ..pipeline.inspect import inspect as inspect_model
from ..pipeline.options import OptimizeOptions, PlanOptions
from ..pipeline.plan import plan as plan_model
from .proved import UNTIMED, proved

__all__ = ["decompose", "diff", "export_onnx", "import_onnx", "inspect", "plan"]


def decompose(
    graph: Any,
    options: PlanOptions | None = None,
    *,
    further: OptimizeOptions | None = None,
    trials: Trials | None = None,
) -> Any:
    """A graph of onnx_graphsurgeon with its dense weights split, proved equal; the same object where nothing is gained.

    options: how to plan; further: whether to prove it, as by default, and to measure it, as not by default; trials: how
    models are run for both. The graph that is given stays as it is. Raises SourceTypeError, a TypeError, for what is no
    such graph, SplitError where the split graph differs, and what `scission.optimize` raises.
    """
    return proved(_graph(graph), options, further or UNTIMED, trials).model


def plan(graph: Any, options: PlanOptions | None = None, *, trials: Trials | None = None) -> Plan:
    """What would be done with each linear of a graph of onnx_graphsurgeon, and why; raises as `scission.plan`."""
    return plan_model(_graph(graph), options, trials=trials)


def inspect(graph: Any, options: PlanOptions | None = None) -> tuple[Inspection, ...]:
    """What every linear of a graph of onnx_graphsurgeon is like; raises as `scission.inspect`."""
    return inspect_model(_graph(graph), options)


def diff(a: Any, b: Any) -> Difference:
    """What two graphs of onnx_graphsurgeon differ in; raises as `scission.diff`."""
    return diff_models(_graph(a), _graph(b))


def import_onnx(model: onnx.ModelProto) -> Any:
    """The graph of a model, as `onnx_graphsurgeon.import_onnx` makes it, with what that passes over: metadata, doc
    strings, inputs that have a default, attributes that are types.

    `export_onnx` finds all of it. Metadata lie beside the graph and its nodes: what `Graph.copy` makes has none. Raises
    SourceTypeError, a TypeError, for what is no model, and what onnx_graphsurgeon raises.
    """
    if not isinstance(model, onnx.ModelProto):
        raise SourceTypeError(f"a {type(model).__name__} is no onnx.ModelProto: give onnx.load(path)")
    importlib.import_module("onnx_graphsurgeon")
    return imported(model)


def export_onnx(graph: Any) -> onnx.ModelProto:
    """The model that a graph of onnx_graphsurgeon says, as `onnx_graphsurgeon.export_onnx` makes it, with the metadata
    that `import_onnx` and `decompose` put beside it, and values of 4 bits packed.

    Raises SourceTypeError, a TypeError, for what is no such graph, and ModelError for one that cannot be exported.
    """
    return exported(_graph(graph))


def _graph(graph: Any) -> Any:
    """The graph; raises SourceTypeError for what is none."""
    if not is_surgeon_graph(graph):
        kind = type(graph).__name__
        raise SourceTypeError(
            f"a {kind} is no onnx_graphsurgeon.Graph: give onnx_graphsurgeon.import_onnx(model), or call the function "
            "of the same name in scission, which takes any model"
        )
    return graph
