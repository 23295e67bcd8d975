"""Parts as services of their own, on one machine or many, by Ray Serve: replicas of each by how often it is called.

Entry: `serve_fleet.serve_fleet`.
May import: ir, ir.parts, ir.supervision, runtime, runtime.http, runtime.http.watch, runtime.ort, runtime.serve,
  runtime.simulate.
"""
