"""The ways to write the blocks of one linear, and their predicted cost.

Entry: `lowerings.lowering_of`.
May import: ir, ir.graph, ir.plan, passes.decompose, passes.lowering, passes.lowering.nodes.
"""
