"""Two models side by side: are the outputs the same, which one is faster.

Entry: `compare.check`, `compare.bench`.
May import: ir, ir.graph, ir.io, ir.staging, ir.supervision, passes.rewrite.comparable, runtime,
  runtime.inputs, runtime.inputs.feeds, runtime.inputs.sizes, runtime.measure, runtime.ort.
"""
