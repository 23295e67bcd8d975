"""Units of a plan: what can be raced alone, in which other ways it could be lowered, and which units are alike.

Entry: `unit.plan_units`, `alternatives.alternatives`, `signature.signature`.
May import: ir, ir.axes, ir.graph, ir.io, ir.plan, passes.decompose, passes.lowering, passes.lowering.linear,
  passes.lowering.recurrent, passes.lowering.region, passes.planning.
"""
