"""One operator of a model explained: what it is like, what was tried, why it was not taken, what holds it together.

Entry: `explain.explain_node`.
May import: ir, ir.axes, ir.findings, ir.graph, ir.io, ir.plan, passes.connectivity, passes.decompose,
  passes.decompose.cover, passes.factor, passes.forests, passes.lowering, passes.lowering.linear,
  passes.lowering.recurrent, passes.planning, passes.rewrite, passes.rewrite.static.
"""
