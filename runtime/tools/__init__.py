"""scission inside other tools: a pass among passes of onnx_ir, an export by torch, graphs of graphsurgeon.

Entry: `split_pass.SplitPass`, `export.export`, `decompose.decompose`.
May import: ir, ir.findings, ir.given, ir.plan, passes.rewrite, runtime.ort, runtime.pipeline.
"""
