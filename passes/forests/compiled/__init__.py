"""Forests compiled to other operators, read back: what every element of every value is, for whatever rows.

Entry: `recognise.compiled_forests`.
May import: ir, ir.graph, passes.forests.trees.
"""
