"""What a model may be given as, and how what is made of it goes back in that form.

Entry: `sources.unwrapped`, `sources.rewrapped`.
May import: ir.
"""
