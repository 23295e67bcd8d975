"""Models as files: read with their weights left in place, written whole or not at all.

Entry: `load.load`, `save.save`.
May import: ir, ir.files, ir.folding, ir.given, ir.staging, ir.wire.
"""
