"""What a model loses, as a number with a budget.

Entry: `metric.parse_metric`.
May import: ir, ir.findings, runtime.
"""
