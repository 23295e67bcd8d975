"""Dense weights projected to products of smaller ones, fitted to samples layer by layer, without training.

Entry: `method.Projection`.
May import: ir, ir.graph, passes.anneal, passes.factor, passes.lowering, passes.projection, passes.rewrite.pruning,
  runtime.calibrate, runtime.decompose.removal, runtime.decompose.task, runtime.ort.
"""
