"""Weights, covers, sweeps and fronts as pictures.

Entry: `structure.picture`.
May import: ir, ir.findings, ir.plan, passes.connectivity, passes.decompose, passes.factor, runtime.render.text,
  runtime.weights.
"""
