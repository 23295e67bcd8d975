"""Operators that walk trees as values, and the same in plain operators that every device has.

Entry: `from_ensemble.ensemble_of`, `lower.write_lowered`.
May import: ir, ir.io, ir.plan, passes.forests.trees.
"""
