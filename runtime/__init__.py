"""The world: files, ONNX Runtime, measurement, reports, the command line.

Entry: `pipeline.optimize.optimize`.
May import: ir.
"""
