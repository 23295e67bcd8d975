"""Results as one file for a browser.

Entry: `report.report`.
May import: ir, ir.files, ir.findings, ir.graph, ir.io, ir.plan, ir.staging, passes.connectivity, passes.decompose,
  passes.decompose.cover, passes.diff, passes.factor, passes.hierarchical, passes.planning, passes.rewrite,
  passes.rewrite.static, passes.rewrite.verification, runtime, runtime.compare, runtime.measure, runtime.ort,
  runtime.pipeline, runtime.render, runtime.render.picture, runtime.render.text, runtime.weights.
"""
