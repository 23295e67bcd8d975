"""Models in parts as tables.

Entry: `table.parts_view`.
May import: ir.parts, ir.plan, runtime.render, runtime.render.text.
"""
