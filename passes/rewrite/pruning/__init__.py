"""Units out of a model, or of what a sample runs: other weights for their readers, parts that samples run through.

Entry: `remove_unread.remove_unread`, `write_experts.write_experts`.
May import: ir, ir.graph, ir.plan, passes.anneal, passes.channels, passes.decompose, passes.experts, passes.lowering,
  passes.lowering.nodes, passes.rewrite.
"""
