"""New nodes: fresh names, provenance, and the operators that lowerings are made of.

Entry: `emitter.Emitter`.
May import: ir, ir.axes, ir.graph, ir.io, ir.plan, passes.decompose.
"""
