"""Trained models of real size.

Entry: `minilm.export`.
May import: ir.plan, models.
"""
