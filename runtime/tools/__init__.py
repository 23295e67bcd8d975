"""scission inside other tools: passes of onnx_ir, exports by torch, graphs of graphsurgeon, Polygraphy, Olive.

Entry: `split_pass.SplitPass`, `export.export`, `decompose.decompose`.
May import: ir, ir.findings, ir.given, ir.io, ir.plan, ir.staging, passes.rewrite, runtime, runtime.ort,
  runtime.pipeline, runtime.serve.
"""
