"""Structured pruning: which units of a model cost least to leave out, and what its other weights become for it.

Entry: `units.find_units`.
May import: ir, ir.axes, ir.graph, ir.plan, passes.channels, passes.channels.bounds, passes.lowering.
"""
