"""Transforms of frames of a signal, as products of two stages of which the first reads pieces of overlapping frames.

Entry: `find.find`, `find.seen`.
May import: ir, ir.graph, ir.plan, passes.convolutions, passes.decompose, passes.factor, passes.lowering,
  passes.lowering.nodes.
"""
