"""Parts of a model as models of their own.

Entry: `layers.layered`, `narrowed.narrowed`, `joined.joined`.
May import: ir, ir.axes, ir.graph, ir.io, ir.parts, ir.plan, passes.lowering.nodes, passes.partition,
  passes.rewrite.
"""
