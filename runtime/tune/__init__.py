"""Forms of an operator measured against each other, here.

Entry: `tune.tune`.
May import: ir, ir.files, ir.graph, ir.io, ir.plan, ir.staging, passes.lowering, passes.planning.units,
  passes.rewrite, runtime.compare, runtime.inputs, runtime.inputs.sizes, runtime.measure, runtime.ort.
"""
