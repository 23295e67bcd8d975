"""Which decomposition and which lowering each operator of a model gets, and why.

Entry: `make_plan.make_plan`, `inspect.inspect_model`.
May import: ir, ir.axes, ir.findings, ir.graph, ir.io, ir.plan, passes.branches, passes.channels, passes.connectivity,
  passes.connectivity.on_device, passes.convolutions, passes.decompose, passes.decompose.cover, passes.factor,
  passes.forests, passes.frontends, passes.hierarchical, passes.lowering, passes.lowering.linear, passes.lowering.nodes,
  passes.lowering.recurrent, passes.lowering.region, passes.rewrite, passes.rewrite.static.
"""
