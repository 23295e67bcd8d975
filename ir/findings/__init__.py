"""What commands found out, as values that a report shows.

Entry: `difference.Difference`, `inspection.Inspection`.
May import: ir, ir.evidence, ir.graph, ir.plan.
"""
