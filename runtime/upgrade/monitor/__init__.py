"""Structure watched as it forms: looks at weights in training, their log, and where they are shown.

Entry: `structure_monitor.StructureMonitor`, `run_file.read_run`.
May import: ir, ir.evidence, ir.files, ir.findings, passes.anneal.blocks, passes.connectivity,
passes.connectivity.digraph, runtime.render, runtime.render.text.
"""
