"""Copies of models that are compared: random operators draw the same numbers, products of frames are exact.

Entry: `seeding.seeded`, `widening.widened`.
May import: ir, ir.graph, ir.io, passes.lowering.nodes.
"""
