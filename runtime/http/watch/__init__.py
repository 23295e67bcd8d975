"""How a server is doing: what it tells of itself, asked from outside, shown in a terminal.

Entry: `asking.asked`.
May import: ir, ir.parts, runtime.render, runtime.render.text.
"""
