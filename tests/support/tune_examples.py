"""Examples that tests of `tune` share with others."""

import numpy as np
import oracles

from scission.runtime.ort.trials import Trials

TRIALS = Trials(provider="cpu", threads=1)


ROWS = (1, 16)


def twins(count=3):
    """Products that differ in what their weights hold only."""
    nodes, weights = [], {}
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(32), rng.permutation(32)
    for index in range(count):
        name = f"product{index}"
        nodes.append(("MatMul", ["x" if not index else f"s{index - 1}", f"W{index}"], [f"h{index}"], {"name": name}))
        nodes.append(("Softmax", [f"h{index}"], [f"s{index}"]))
        blocks = np.kron(np.eye(4), np.ones((8, 8))) * rng.standard_normal((32, 32))
        weights[f"W{index}"] = blocks[rows][:, columns].astype(np.float32)
    return oracles.graph(nodes, {"x": ["m", 32]}, {f"s{count - 1}": ["m", 32]}, weights)
