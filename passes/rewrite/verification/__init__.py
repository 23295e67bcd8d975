"""A plan held against a model: it is the one that the plan was made for, as a whole and weight by weight.

Entry: `verify.verified`, `same_model.require_same_model`.
May import: ir, ir.graph, ir.plan, passes.connectivity, passes.decompose, passes.lowering, passes.lowering.linear.
"""
