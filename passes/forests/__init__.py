"""Forests of decision trees, compiled to other operators or in one, as values; and which form each is to have.

    products, gathers  -- recognise -->  Forest  -- to_ensemble -->  one operator that walks trees

Entry: `find.find`, `recognise.compiled_forests`, `to_ensemble.write_ensemble`.
May import: ir, ir.graph, ir.io, ir.plan, passes.lowering, passes.lowering.nodes.
"""
