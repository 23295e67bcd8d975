"""Inputs for a model: what they look like, what they stand for, which sizes run.

Entry: `spec.spec_of`, `drawing.draw_feed`.
May import: ir, ir.graph, ir.io, runtime.ort.
"""
