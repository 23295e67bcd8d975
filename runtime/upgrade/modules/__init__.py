"""Modules of torch that hold the blocks of a decomposition as parameters, index work outside.

Entry: `block_linear.BlockLinear`.
May import: ir, ir.plan.
"""
