"""What became of each node and constant of one model in another.

Entry: `differences.differences`.
May import: ir, ir.findings, ir.graph, ir.io.
"""
