"""Hidden units of feed-forward networks in groups, of which each sample runs a few: groups, routers, operators.

Entry: `choose.choose_experts`, `find.find_places`.
May import: ir, ir.axes, ir.graph, passes.lowering.nodes.
"""
