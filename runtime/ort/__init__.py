"""The only folder that imports onnxruntime: sessions, their inputs, what is installed.

Entry: `session.open_session`.
May import: ir, ir.files, ir.graph, ir.io, ir.staging, ir.supervision, runtime.
"""
