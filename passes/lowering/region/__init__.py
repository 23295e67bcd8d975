"""The blocks of several linears written together, everything between them included.

Entry: `lowering.Regions`.
May import: ir, ir.axes, ir.graph, ir.plan, passes.decompose, passes.lowering, passes.lowering.linear,
  passes.lowering.nodes.
"""
