"""The plan: the decompositions and lowerings chosen for a model, a frozen value that JSON carries.

Entry: `plan.Plan`.
May import: ir, ir.evidence, ir.graph.
"""
