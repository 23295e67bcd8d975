"""Units out of a model, or of what a sample runs, and other weights: for their readers, or as products of smaller ones.

Entry: `remove_unread.remove_unread`, `put_products.put_products`, `write_experts.write_experts`.
May import: ir, ir.graph, ir.plan, passes.anneal, passes.channels, passes.decompose, passes.experts, passes.factor,
  passes.lowering, passes.lowering.nodes, passes.projection, passes.rewrite.
"""
