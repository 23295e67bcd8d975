"""Models at fixed sizes, from wherever they come.

Entry: `fix_shapes.fix_shapes`.
May import: ir, ir.io, passes.rewrite.static, runtime.inputs.sizes, runtime.pipeline.
"""
