"""Sizes of the open dimensions of inputs: what follows from the graph and from what the user gives, and what runs.

Entry: `settings.settings_of`, `size_search.candidate_sizes`.
May import: ir, ir.graph, ir.io, runtime.inputs, runtime.ort.
"""
