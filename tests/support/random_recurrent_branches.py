"""Branches of random recurrent operators on pieces of one input, the same in each but for what weights hold."""

from random import Random

import numpy as np

from scission.models.sketch import Sketch

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
WAYS = ("forward", "reverse", "bidirectional")
POSITIONS = 4


def random_recurrent(seed: int):
    """A model with an input 'x' (n, lanes, positions, features), or with places of its last axis for each branch."""
    rng = Random(seed)
    sketch = Sketch(np.random.default_rng(seed))
    lanes, features, equal = rng.randint(2, 4), rng.randint(1, 4), rng.random() < 0.8
    own, open_ended = rng.random() < 0.5, rng.random() < 0.2
    shape = [lanes, POSITIONS, features] if own else [POSITIONS, lanes * features]
    told = [3, lanes, "t", features] if open_ended and own else ["n", *shape]
    x = sketch.input("x", told)
    steps = [rng.randrange(1 << 30) for _ in range(rng.randint(1, 3))]
    watched = rng.random() < 0.2
    results = []
    for lane in range(lanes):
        if own:
            value = sketch.op("Gather", x, np.asarray(lane, np.int64), axis=1)
        else:
            value = sketch.op("Slice", x, [lane * features], [(lane + 1) * features], [2])
        value = sketch.op("Transpose", value, perm=[1, 0, 2])
        width = features
        for index, step in enumerate(steps):
            last = index == len(steps) - 1
            value, width = _grown(sketch, Random(step), step if equal else (step, lane), value, width, last)
        if watched and lane == lanes - 1:
            sketch.output(value, shape=[None] * 3, name="watched")
        results.append(value)
    if rng.random() < 0.5:
        sketch.output(sketch.op("Concat", *results, axis=rng.randrange(3)), shape=[None] * 3, name="y")
    else:
        sketch.output(sketch.op("Sum", *results), shape=[None] * 3, name="y")
    return sketch.model(), [3, *shape] if open_ended and own else shape


def _grown(sketch, rng: Random, seed, value, width, last):
    """One more operator of a branch on (positions, batch, features), or what its states were in the end."""
    values = np.random.default_rng(seed)
    normal = lambda *extents: np.asarray(values.standard_normal(extents), np.float32)  # noqa: E731
    op, way, hidden = rng.choice(list(GATES)), rng.choice(WAYS), rng.randint(1, 5)
    ways, rows = 2 if way == "bidirectional" else 1, GATES[op] * hidden
    bias = [normal(ways, 2 * rows)] if rng.random() < 0.6 else []
    attributes = {"hidden_size": hidden, "direction": way}
    if rng.random() < 0.2:
        attributes["clip"] = 0.5
    if op == "GRU" and rng.random() < 0.5:
        attributes["linear_before_reset"] = 1
    place = rng.choice([0, 1, 2 if op == "LSTM" else 1]) if last else 0
    weights = [normal(ways, rows, width), normal(ways, rows, hidden), *bias]
    made = sketch.op(op, value, *weights, outputs=place + 1, **attributes)
    made = made[place] if place else made
    if place:
        return made, hidden
    turned = sketch.op("Transpose", made, perm=[0, 2, 1, 3])
    flat = sketch.op("Reshape", turned, [0, -1, ways * hidden] if ways > 1 else [0, 0, hidden])
    return sketch.op(rng.choice(["Relu", "Tanh", "Identity"]), flat), ways * hidden
