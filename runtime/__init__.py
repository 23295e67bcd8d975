"""The world: ONNX Runtime, files, the command line."""
