"""The only folder that changes a graph, and only a copy of it.

Entry: `rewrite.rewrite`, `prepare.planned_view`, `remove_edges.remove_edges`, `reorder_axes.reorder_axes`,
  `extract.extract`, `remove_channels.remove_channels`.
May import: ir, ir.axes, ir.graph, ir.io, ir.plan, passes.anneal, passes.branches, passes.branches.packing,
  passes.channels, passes.channels.bounds, passes.convolutions, passes.decompose, passes.factor, passes.forests,
  passes.forests.compiled, passes.forests.lowered, passes.forests.trees, passes.frontends, passes.hierarchical,
  passes.lowering, passes.lowering.linear, passes.lowering.nodes, passes.lowering.recurrent, passes.lowering.region,
  passes.rewrite.static, passes.rewrite.verification.
"""
