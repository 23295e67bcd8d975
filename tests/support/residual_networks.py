"""Networks with a residual stream, of which wide and narrow forms are at hand."""

import numpy as np
from reference import model, node


def residual(hidden=64, features=16, layers=3, seed=0):
    """Layers x + W₂ relu(W₁ x), each normalised behind the sum, then one product."""
    rng = np.random.default_rng(seed)
    nodes, constants, x = [], {}, "x"
    for layer in range(layers):
        constants |= {
            f"up{layer}": rng.standard_normal((features, hidden)) / 4,
            f"down{layer}": rng.standard_normal((hidden, features)) / 8,
            f"scale{layer}": np.ones(features),
            f"shift{layer}": np.zeros(features),
        }
        nodes += [
            node("MatMul", f"{x} up{layer}", f"h{layer}", f"first{layer}"),
            node("Relu", f"h{layer}", f"r{layer}"),
            node("MatMul", f"r{layer} down{layer}", f"d{layer}", f"second{layer}"),
            node("Add", f"{x} d{layer}", f"s{layer}"),
            node("LayerNormalization", f"s{layer} scale{layer} shift{layer}", f"n{layer}"),
        ]
        x = f"n{layer}"
    constants["head"] = rng.standard_normal((features, 4))
    nodes.append(node("MatMul", f"{x} head", "y", "last"))
    held = {name: one.astype(np.float32) for name, one in constants.items()}
    return model(nodes, {"x": ["n", features]}, {"y": ["n", 4]}, held)
