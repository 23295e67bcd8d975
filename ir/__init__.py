"""What a model, its linears and a plan are; knows neither torch nor ONNX Runtime.

Entry: `io.load.load`.
May import: nothing.
"""
