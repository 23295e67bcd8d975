"""What a graph says: constants, shapes, functions, and every linear and recurrent cell in it.

Entry: `view.view`.
May import: ir, ir.folding, ir.io.
"""
