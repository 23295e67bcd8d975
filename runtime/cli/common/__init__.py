"""What commands share: their options, what they are given, and the terminal.

Entry: `terminal.show`.
May import: ir, ir.files, ir.io, ir.parts, ir.plan, ir.supervision, runtime, runtime.calibrate, runtime.inputs,
  runtime.ort, runtime.render, runtime.render.text, runtime.weights.
"""
