"""Structured removal without training: hidden units and heads left out, what reads them fitted again.

Entry: `method.Removal`.
May import: ir, ir.graph, ir.io, ir.plan, passes.anneal, passes.lowering, passes.pruning, passes.rewrite.pruning,
  runtime.calibrate, runtime.decompose.task, runtime.inputs, runtime.ort.
"""
