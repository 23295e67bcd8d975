"""Examples that tests of `explanation` share with others."""

import numpy as np
import oracles

CPU = {"provider": "cpu"}


def glued(size=64, blocks=4):
    """Blocks with two residual entries, one tiny; then a dense weight."""
    rng = np.random.default_rng(0)
    W = np.kron(np.eye(blocks), rng.uniform(1, 2, (size, size))).astype(np.float32)
    W[0, -1], W[-1, size] = 0.5, 0.001
    D = rng.standard_normal(W.shape).astype(np.float32)
    nodes = [("MatMul", ["x", "W"], ["h"], {"name": "/glued"}), ("MatMul", ["h", "D"], ["y"], {"name": "/dense"})]
    nodes += [("MatMul", ["x", "q"], ["z"], {"name": "/dynamic"}), ("Relu", ["x"], ["r"], {"name": "/relu"})]
    side = W.shape[0]
    inputs, outputs = {"x": ["m", side], "q": [side, "k"]}, {"y": ["m", side], "z": ["m", "k"], "r": ["m", side]}
    return oracles.graph(nodes, inputs, outputs, {"W": W, "D": D}), W, D


MODEL, W, D = glued()
