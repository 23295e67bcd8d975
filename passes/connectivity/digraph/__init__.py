"""Strongly connected components, layers and the order of appendix A, by four engines with one result.

Entry: `structure.structure`.
May import: ir, ir.findings, passes.connectivity.
"""
