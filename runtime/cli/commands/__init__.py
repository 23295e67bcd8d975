"""One command a file.

Entry: `optimize.optimize`.
May import: ir, ir.io, ir.plan, runtime, runtime.calibrate, runtime.calibrate.metric, runtime.calibrate.sources,
  runtime.cli.common, runtime.compare, runtime.fleet, runtime.http, runtime.http.watch, runtime.hub, runtime.ort,
  runtime.pipeline, runtime.render, runtime.render.html, runtime.render.picture, runtime.render.text, runtime.serve,
  runtime.weights.
"""
