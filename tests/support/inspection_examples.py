"""Examples that tests of `inspection` share with others."""

import numpy as np
import oracles

BLOCKS = np.kron(np.eye(4), np.ones((16, 16)))


BAND = np.triu(np.tril(np.ones((64, 64)), 4), -4)


DENSE = np.ones((64, 64))


def three_of():
    """Blocks, a band and a dense weight, and a convolution in groups."""
    nodes = [("MatMul", [f"x{i}", f"W{i}"], [f"x{i + 1}"], {"name": f"layer.{i}"}) for i in range(3)]
    nodes += [("Conv", ["image", "K"], ["image1"], {"name": "groups", "group": 2})]
    weights = {f"W{i}": W.astype(np.float32) for i, W in enumerate((BLOCKS, BAND, DENSE))}
    weights["K"] = np.ones((2, 1, 3, 3), np.float32)
    inputs = {"x0": ["m", 64], "image": [1, 2, 9, 9]}
    return oracles.graph(nodes, inputs, {"x3": ["m", 64], "image1": [1, 2, 7, 7]}, weights)
