"""Blocks by training: units of hidden axes in groups, weights between groups trained away, what is left trained on.

Entry: `method.Blocks`.
May import: ir, ir.graph, ir.plan, passes.anneal, passes.cocluster, passes.pruning, passes.rewrite,
  passes.rewrite.pruning, passes.rewrite.weights, runtime.calibrate, runtime.calibrate.metric,
  runtime.decompose.removal, runtime.decompose.task, runtime.ort, runtime.pipeline, runtime.retrain, runtime.upgrade,
  runtime.upgrade.interpreter.
"""
