"""What operators of ONNX compute, in torch, so that a model can be trained: one rule an operator.

Entry: `rules.rule_of`.
May import: ir, ir.graph.
"""
