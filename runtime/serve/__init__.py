"""Models in parts: cut into a folder, put together again, run beside the original.

Entry: `partition.partition`, `local.load_parts`, `check.check_parts`, `count.count_activation`.
May import: ir, ir.files, ir.graph, ir.io, ir.parts, ir.staging, ir.supervision, passes.partition, passes.rewrite.parts,
  runtime, runtime.calibrate, runtime.calibrate.sources, runtime.compare, runtime.inputs, runtime.inputs.feeds,
  runtime.measure, runtime.ort.
"""
