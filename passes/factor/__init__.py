"""Dense weights that are products of block-diagonal ones with permutations between them, and how they are written.

Entry: `find.find`, `factorise.factorise`.
May import: ir, ir.findings, ir.graph, ir.io, ir.plan, passes.decompose, passes.lowering, passes.lowering.linear,
  passes.lowering.nodes.
"""
