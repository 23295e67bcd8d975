"""Continued learning of a split model: its blocks are trained in torch, then written back and proved.

Entry: `retrain.retrain`.
May import: ir, ir.files, ir.given, ir.graph, ir.io, ir.plan, runtime, runtime.calibrate, runtime.calibrate.sources,
  runtime.compare, runtime.inputs, runtime.measure, runtime.ort, runtime.pipeline, runtime.render,
  runtime.render.text, runtime.upgrade, runtime.upgrade.interpreter.
"""
