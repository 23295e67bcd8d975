"""Hidden units of networks with ReLU in groups, of which each sample runs those that a router chooses for it.

Entry: `method.Experts`.
May import: ir, ir.graph, passes.decompose, passes.experts, passes.lowering.nodes, passes.rewrite.pruning,
  runtime.calibrate, runtime.decompose.removal, runtime.decompose.task, runtime.inputs.
"""
