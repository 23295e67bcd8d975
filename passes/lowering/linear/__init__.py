"""The ways to write the blocks of one linear, and their predicted cost.

Entry: `lowering.lower`, `cost.choose`.
May import: ir, ir.graph, ir.plan, passes.decompose, passes.lowering.nodes.
"""
