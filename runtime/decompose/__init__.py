"""Dense models given structure: methods that propose smaller models, held against one budget on data kept apart.

Entry: `decompose.decompose`.
May import: ir, ir.io, passes.projection, passes.rewrite.pruning, runtime, runtime.calibrate,
  runtime.calibrate.sources, runtime.decompose.blocks, runtime.decompose.experts, runtime.decompose.projection,
  runtime.decompose.removal, runtime.decompose.task, runtime.decompose.training, runtime.measure, runtime.ort,
  runtime.render, runtime.render.picture, runtime.render.text, runtime.retrain.
"""
