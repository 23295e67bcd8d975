"""Inputs for a model: what they look like and what they stand for.

Entry: `spec.spec_of`, `drawing.draw_feed`.
May import: ir, ir.files, ir.graph, ir.io, ir.supervision, runtime, runtime.ort.
"""
