"""How a decomposition is written in operators, and what that costs.

Entry: `target.Target`, `protocol.worst_gain`.
May import: ir, ir.graph, ir.plan, passes.decompose, passes.lowering.nodes.
"""
