"""A recurrent operator written as independent cells.

Entry: `cells.emit_cells`.
May import: ir, ir.graph, ir.plan, passes.decompose, passes.lowering, passes.lowering.nodes.
"""
