"""From components to blocks: which outputs read which inputs, of one linear, a region, a recurrent cell.

Entry: `blocks.decompose`.
May import: ir, ir.axes, ir.findings, ir.graph, ir.plan, passes.connectivity, passes.connectivity.digraph.
"""
