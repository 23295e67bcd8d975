"""Data in the forms that people have: archives of arrays, tables, folders of samples, functions that yield them.

Entry: `source.read_source`.
May import: ir, ir.files, ir.graph, runtime, runtime.inputs, runtime.ort.
"""
