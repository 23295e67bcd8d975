"""Dense weights projected to products of smaller ones, so that their results on samples change least.

Entry: `choices.choices`.
May import: ir.graph, ir.plan, passes.cocluster, passes.decompose, passes.factor, passes.lowering,
  passes.lowering.linear.
"""
