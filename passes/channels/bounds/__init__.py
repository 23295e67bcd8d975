"""What is known of every value before a model runs: bounds, which meet where it is constant.

Entry: `forward.facts_of`.
May import: ir, ir.axes, ir.graph.
"""
