"""The command line.

Entry: `app.main`.
May import: ir, ir.io, ir.plan, passes.anneal, passes.anneal.edges, passes.planning, runtime, runtime.calibrate,
  runtime.calibrate.metric, runtime.compare, runtime.inputs, runtime.ort, runtime.pipeline, runtime.render.html,
  runtime.render.picture, runtime.render.text, runtime.tune, runtime.weights.
"""
