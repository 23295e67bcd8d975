"""Removing edges that learning did not confirm: the only lossy step.

Entry: `model.anneal_model`.
May import: ir, ir.axes, ir.evidence, ir.findings, ir.graph, ir.io, ir.plan, passes.anneal.blocks,
  passes.anneal.edges, passes.connectivity, passes.decompose.
"""
