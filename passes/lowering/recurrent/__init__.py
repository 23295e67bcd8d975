"""A recurrent operator written as independent cells.

Entry: `lowering.Cells`.
May import: ir, ir.graph, ir.plan, passes.decompose, passes.lowering, passes.lowering.nodes.
"""
