"""What methods that make models smaller are asked for: a goal, samples kept apart, and what they propose.

Entry: `goal.parse_goal`.
May import: ir, ir.findings, ir.io, passes.projection, runtime, runtime.calibrate, runtime.calibrate.metric,
  runtime.calibrate.sources, runtime.ort.
"""
