"""Weights that are mostly zeros and one level of a hierarchical matrix, as wavelets are, and how they are written.

Entry: `find.find`, `near_far.near_far`.
May import: ir, ir.graph, ir.plan, passes.decompose, passes.factor, passes.lowering, passes.lowering.nodes.
"""
