"""Which form each forest of decision trees is to have: one operator that walks trees, products, or gathers.

    products, gathers  -- compiled -->  Forest  -- trees -->  one operator       on a processor
    one operator       -- lowered -->  Ensemble -- lowered -->  blocks, gathers   on a device that has no such operator

Entry: `find.find`.
May import: ir, ir.graph, ir.plan, passes.forests.compiled, passes.forests.lowered, passes.forests.trees,
  passes.lowering.
"""
