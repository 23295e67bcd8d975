"""Results for people: text, pages, pictures.

Entry: `text.report.result_view`.
May import: ir, ir.plan, passes.decompose, passes.lowering, runtime.measure.
"""
