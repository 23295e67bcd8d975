"""Annealing judged by data: checkpoints, datasets, the effect of every level on a metric.

Entry: `level_sweep.sweep`.
May import: ir, ir.evidence, ir.files, ir.findings, ir.graph, ir.io, ir.plan, passes.anneal, passes.anneal.activity,
  passes.anneal.edges, passes.connectivity, passes.rewrite, passes.rewrite.comparable, runtime,
  runtime.calibrate.metric, runtime.calibrate.sources, runtime.compare, runtime.inputs, runtime.measure, runtime.ort,
  runtime.weights.
"""
