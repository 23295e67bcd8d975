"""Branches of one graph that are alike: found, grown as far as they agree, and written as one of a longer batch.

Entry: `find.find_branches`, `merging.merged`.
May import: ir, ir.graph, ir.plan, passes.branches.packing, passes.branches.rules, passes.connectivity,
  passes.decompose, passes.lowering, passes.lowering.recurrent.
"""
