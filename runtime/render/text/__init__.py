"""Results as tables and sentences in a terminal.

Entry: `report.result_view`.
May import: ir, ir.findings, ir.plan, passes.cocluster, passes.connectivity, passes.decompose, passes.factor,
  runtime.calibrate, runtime.calibrate.metric, runtime.compare, runtime.measure, runtime.pipeline, runtime.render,
  runtime.tune, runtime.weights.
"""
