"""How nodes that are alike become one, an operator at a time.

Entry: `rules.rule_of`.
May import: ir.graph, ir, passes.branches.packing.
"""
