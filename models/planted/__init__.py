"""Models with planted blocks, one file a kind of operator.

Entry: `products.build`.
May import: ir.graph, ir.plan, models.
"""
