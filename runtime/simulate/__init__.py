"""Parts on many machines before there are any: a discrete-event simulation, fed with what was measured on one.

Entry: `simulate.simulate`.
May import: ir, ir.files, ir.findings, ir.io, ir.parts, runtime, runtime.compare, runtime.http,
  runtime.http.watch, runtime.ort, runtime.serve.
"""
