"""A model in parts that run by themselves: what each reads and writes, as a file says it.

Entry: `manifest.Manifest`.
May import: ir, ir.files, ir.plan.
"""
