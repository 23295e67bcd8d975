"""Training that keeps, moves and watches structure, with torch, which nothing else here needs.

Entry: `split.split`, `to_torch.to_torch`, `to_onnx.to_onnx`.
May import: ir, ir.given, ir.graph, ir.io, ir.plan, passes.connectivity, passes.decompose, passes.decompose.cover,
  passes.rewrite, passes.rewrite.weights, runtime.upgrade.interpreter, runtime.upgrade.modules.
"""
