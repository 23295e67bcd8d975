"""A weight as a graph: its edges, their components, and the Boolean closure of a relation.

Entry: `bipartite.components`.
May import: ir, ir.findings, passes.connectivity.tensor_cores,
passes.connectivity.transfer.
"""
