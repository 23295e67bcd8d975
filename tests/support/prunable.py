"""Networks with units that can be left out, some of which nothing is lost without, and samples for them."""

import numpy as np
import oracles

WIDTH, HEADS, EACH = 12, 4, 3


def residual(hidden=24, twins=0, seed=0):
    """Attention and a feed-forward network, each added to what it reads; the last `twins` hidden units do what the
    first do, and as many heads what the first heads do."""
    rng = np.random.default_rng(seed)

    def some(*shape):
        return (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

    weights = {name: some(WIDTH, HEADS, EACH) for name in "qkv"}
    up, bias = some(WIDTH, hidden), some(1, hidden)[0]
    if twins:
        for one in weights.values():
            one[:, -twins:] = one[:, :twins]
        up[:, -twins:], bias[-twins:] = up[:, :twins], bias[:twins]
    inits = {name: one.reshape(WIDTH, -1) for name, one in weights.items()}
    inits |= {"o": some(HEADS * EACH, WIDTH), "up": up, "b": bias, "down": some(hidden, WIDTH), "c": some(1, WIDTH)[0]}
    inits |= {"split": np.array([0, 0, HEADS, EACH]), "joined": np.array([0, 0, HEADS * EACH])}
    nodes = []
    for name, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes += [
            ("MatMul", ["x", name], [f"{name}1"], {"name": name}),
            ("Reshape", [f"{name}1", "split"], [f"{name}2"], {}),
            ("Transpose", [f"{name}2"], [f"{name}3"], {"perm": perm}),
        ]
    nodes += [
        ("MatMul", ["q3", "k3"], ["s1"], {}),
        ("Softmax", ["s1"], ["s2"], {"axis": -1}),
        ("MatMul", ["s2", "v3"], ["a1"], {}),
        ("Transpose", ["a1"], ["a2"], {"perm": [0, 2, 1, 3]}),
        ("Reshape", ["a2", "joined"], ["a3"], {}),
        ("MatMul", ["a3", "o"], ["a4"], {"name": "o"}),
        ("Add", ["a4", "x"], ["h1"], {}),
        ("MatMul", ["h1", "up"], ["u1"], {"name": "up"}),
        ("Add", ["u1", "b"], ["u2"], {}),
        ("Relu", ["u2"], ["u3"], {}),
        ("MatMul", ["u3", "down"], ["d1"], {"name": "down"}),
        ("Add", ["d1", "c"], ["d2"], {}),
        ("Add", ["d2", "h1"], ["y"], {}),
    ]
    shape = ["batch", "long", WIDTH]
    return oracles.graph(nodes, {"x": shape}, {"y": shape}, inits)


def feeds(count=8, seed=1, batch=16):
    """Inputs of different lengths for it."""
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal((batch, 4 + place % 3, WIDTH)).astype(np.float32)} for place in range(count)]
