"""A model cut from its inputs to its outputs: the parts that share no product, and what each of them needs.

Entry: `find.find`.
May import: ir, ir.axes, ir.graph, ir.parts, passes.channels, passes.channels.bounds, passes.connectivity.
"""
