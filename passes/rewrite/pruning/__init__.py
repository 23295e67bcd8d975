"""Units out of a model: other weights for what reads them, what nothing reads left out, parts that samples run through.

Entry: `remove_unread.remove_unread`.
May import: ir, ir.graph, ir.plan, passes.anneal, passes.channels, passes.lowering, passes.lowering.nodes,
  passes.rewrite.
"""
