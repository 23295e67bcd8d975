"""Models at fixed sizes: their inputs get these for good, and shapes that were computed become constants.

Entry: `fix_sizes.fixed`, `fix_sizes.fix_sizes`, `obstacles.recording_obstacles`.
May import: ir, ir.findings, ir.graph, ir.io, ir.plan, passes.lowering.nodes.
"""
