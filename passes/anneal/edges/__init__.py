"""Statistical tests of single edges, their nulls and corrections for many tests.

Entry: `anneal.confirm`.
May import: ir, ir.evidence, passes.connectivity.
"""
