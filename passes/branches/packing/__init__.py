"""Values and nodes of all branches at one place as one: what is alike, what is a piece of what, what is to be made.

Entry: `packed.Pack`, `signature.Signatures`, `piece.piece_of`.
May import: ir, ir.graph, passes.diff.
"""
