"""Channels that do nothing: units, channels and heads that are dead or constant, and everywhere they can be left out.

Entry: `find.find`.
May import: ir, ir.axes, ir.graph, ir.io, ir.plan, passes.channels.bounds, passes.decompose, passes.diff,
passes.lowering.
"""
