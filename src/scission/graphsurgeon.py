"""scission on graphs of onnx_graphsurgeon.

    import onnx_graphsurgeon as gs
    from scission import graphsurgeon as scission_gs

    graph = gs.import_onnx(onnx.load("model.onnx"))
    split = scission_gs.decompose(graph)     # a new graph, proved equal; the same one where nothing is gained
    plan = scission_gs.plan(graph)           # what would be done, and why

Such graphs are models everywhere else too: `scission.check(graph, split)`, `scission.optimize(graph).model`.

`import_onnx` and `export_onnx` are those of onnx_graphsurgeon with all that it loses on the way: metadata, values of 4
bits, inputs that have a default.
"""

from __future__ import annotations

from .runtime.tools.decompose import decompose, diff, export_onnx, import_onnx, inspect, plan

__all__ = ["decompose", "diff", "export_onnx", "import_onnx", "inspect", "plan"]
