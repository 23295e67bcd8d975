"""Results for people: text, pages, pictures.

Entry: `text.report.result_view`.
May import: ir, ir.plan, passes.decompose, runtime.measure.
"""
