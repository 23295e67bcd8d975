"""The world: files, ONNX Runtime, measurement, reports, the command line.

Entry: `pipeline.pipeline.optimize`.
May import: nothing.
"""
