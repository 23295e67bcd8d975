"""A forest as arrays, and its writing as one operator that walks the trees.

Entry: `forest.Forest`, `to_ensemble.write_ensemble`.
May import: ir, passes.lowering.nodes.
"""
