"""Folders of models as hubs and runtimes lay them out: every model in one is optimised, all else goes with it.

Entry: `optimize_folder.optimize_folder`.
May import: ir, ir.files, ir.io, ir.staging, runtime, runtime.inputs, runtime.inputs.feeds,
  runtime.ort, runtime.pipeline.
"""
