"""Matrices of well-known structure.

Entry: `mel.build`.
May import: ir.plan, models.
"""
