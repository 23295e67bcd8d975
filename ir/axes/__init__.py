"""How features travel through operators, and which linears share an axis.

Entry: `region.region_of`.
May import: ir, ir.graph, ir.io.
"""
