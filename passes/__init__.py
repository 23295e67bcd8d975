"""What is computed of a model: from weights to blocks, from blocks to nodes.

Entry: `planning.make_plan.make_plan`, `rewrite.rewrite.rewrite`.
May import: nothing.
"""
