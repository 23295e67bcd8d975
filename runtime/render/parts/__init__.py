"""Models in parts as tables.

Entry: `table.parts_view`, `activation.activation_view`.
May import: ir, ir.findings, ir.parts, ir.plan, runtime.render, runtime.render.text.
"""
