"""Models in parts: cut into a folder, put together again, run beside the original.

Entry: `partition.partition`, `local.load_parts`, `check.check_parts`.
May import: ir, ir.files, ir.graph, ir.io, ir.parts, ir.staging, passes.partition, passes.rewrite.parts, runtime,
  runtime.compare, runtime.measure, runtime.ort.
"""
