"""A folder of parts in the forms in which other servers take models.

Entry: `triton.export_triton`.
May import: ir, ir.parts, ir.staging, passes.rewrite.parts, runtime, runtime.http, runtime.serve.
"""
