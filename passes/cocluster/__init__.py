"""Groups of rows and columns of a noisy matrix, found together.

Entry: `coclustering.cocluster`.
May import: ir.evidence, ir.plan, passes.connectivity, passes.decompose.
"""
