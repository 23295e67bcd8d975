"""Parts of a model as models of their own.

Entry: `narrowed.narrowed`.
May import: ir, ir.axes, ir.graph, ir.io, ir.parts, passes.lowering.nodes, passes.partition, passes.rewrite.
"""
