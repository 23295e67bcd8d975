"""Single weights as subjects: where they come from, their states, their covers.

Entry: `source.read_weight`.
May import: ir, ir.files, ir.findings, ir.graph, ir.io, ir.plan, passes.cocluster, passes.connectivity,
  passes.connectivity.digraph, passes.decompose, passes.decompose.cover, passes.factor, passes.lowering,
  passes.lowering.linear, passes.planning, runtime.
"""
