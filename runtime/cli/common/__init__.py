"""What commands share: their options, what they are given, and the terminal.

Entry: `terminal.show`.
May import: ir, ir.io, ir.plan, passes.anneal, passes.anneal.edges, runtime.calibrate, runtime.inputs, runtime.ort,
  runtime.render.text, runtime.weights.
"""
