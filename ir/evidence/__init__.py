"""What statistics say of edges: models of noise without any, and how surely what was removed was noise.

Entry: `evidence.Evidence`.
May import: ir.
"""
