"""A model with other numbers in its weights, and the plan that splits it as before.

Entry: `put_weights.put_weights`, `renewed.renewed`.
May import: ir, ir.graph, ir.io, ir.plan, passes.decompose.
"""
