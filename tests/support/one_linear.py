"""One product whose weight is blocks of ones, the smallest model that splits."""

import numpy as np
import onnx
import oracles


def one_linear(blocks: int = 4, **constants) -> onnx.ModelProto:
    """y = x @ w, of so many blocks of 8 x 8; constants: more initializers that nothing reads."""
    weight = np.kron(np.eye(blocks), np.ones((8, 8))).astype(np.float32)
    sizes = ["n", 8 * blocks]
    return oracles.graph([("MatMul", ["x", "w"], ["y"])], {"x": sizes}, {"y": sizes}, {"w": weight, **constants})


def saved(folder, blocks: int = 4):
    """The same as the file model.onnx of a folder."""
    onnx.save(one_linear(blocks), folder / "model.onnx")
    return folder / "model.onnx"
