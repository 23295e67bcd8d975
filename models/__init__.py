"""Models that know their own truth, built from a seed.

Entry: `planted.products.build`.
May import: ir.plan.
"""
