"""A model behind HTTP: requests of the Open Inference Protocol, how many of them at once, what is told of them.

Entry: `serve.serve`.
May import: ir, ir.io, ir.parts, ir.supervision, runtime, runtime.http.watch, runtime.ort, runtime.serve.
"""
