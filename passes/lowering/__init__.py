"""How a decomposition is written in operators, and what that costs.

Entry: `linear.lowering.lower`.
May import: nothing.
"""
