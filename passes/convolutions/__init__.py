"""Convolutions in the form that is fastest: Fourier transforms as such, smaller windows, what is added to them inside.

Entry: `find.find`, `find.seen`.
May import: ir, ir.graph, ir.plan, passes.decompose, passes.lowering.
"""
