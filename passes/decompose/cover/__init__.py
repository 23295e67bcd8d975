"""Groups of outputs that share inputs, where a weight is one component.

Entry: `cover.cover`.
May import: ir, ir.findings, ir.plan, passes.connectivity, passes.connectivity.digraph, passes.decompose.
"""
