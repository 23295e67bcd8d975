"""Boolean products by one kernel that multiplies eight-bit operands and writes nothing but the Booleans.

Entry: `products.product`, `squares.Squares`.
May import: ir.
"""
