"""Commands about training.

Entry: `monitor.monitor`, `retrain.retrain`.
May import: ir.io, runtime, runtime.calibrate.metric, runtime.calibrate.sources, runtime.cli.common,
  runtime.decompose, runtime.ort, runtime.render, runtime.render.picture, runtime.retrain, runtime.upgrade.monitor.
"""
