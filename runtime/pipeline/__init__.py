"""The public functions: load, plan, rewrite, check, bench, and keep what is proved and faster.

Entry: `optimize.optimize`.
May import: ir, ir.findings, ir.given, ir.graph, ir.io, ir.plan, ir.staging, passes.anneal, passes.connectivity,
  passes.diff, passes.explain, passes.lowering, passes.planning, passes.rewrite, passes.rewrite.verification, runtime,
  runtime.calibrate, runtime.calibrate.metric, runtime.calibrate.sources, runtime.compare, runtime.inputs.feeds,
  runtime.inputs.sizes, runtime.measure, runtime.ort, runtime.render, runtime.tune.
"""
