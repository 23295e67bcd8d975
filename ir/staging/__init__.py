"""Files that appear whole or not at all: temporary folders, what killed processes left of them, placing.

Entry: `folder.temporary_folder`.
May import: ir.files, ir.supervision.
"""
