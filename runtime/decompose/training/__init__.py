"""Candidates trained against the original, on feeds of any sizes, before they are judged.

Entry: `train.train`.
May import: ir, ir.graph, runtime.calibrate.sources, runtime.decompose.task, runtime.ort, runtime.retrain,
  runtime.upgrade, runtime.upgrade.interpreter.
"""
