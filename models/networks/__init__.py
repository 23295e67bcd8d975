"""Networks of which the independent parts are known.

Entry: `forest.build`.
May import: ir, ir.graph, ir.io, ir.plan, models, models.planted, models.trained.
"""
