"""Units of a plan: what can be raced alone, in which other ways it could be lowered, and which units are alike.

Entry: `unit.plan_units`, `alternatives.alternatives`, `prepared.prepared_units`, `signature.signature`.
May import: ir, ir.axes, ir.graph, ir.io, ir.plan, passes.decompose, passes.factor, passes.frontends,
  passes.hierarchical, passes.lowering, passes.lowering.linear, passes.lowering.recurrent, passes.lowering.region,
  passes.planning, passes.rewrite.
"""
