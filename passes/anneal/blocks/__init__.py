"""Tests of whole blocks: a search for the partition and the certificate that judges it.

Entry: `search.anneal_blocks`.
May import: ir.evidence, ir.plan, passes.anneal.edges, passes.cocluster, passes.connectivity, passes.decompose.
"""
