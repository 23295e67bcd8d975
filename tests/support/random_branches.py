"""Branches of random operators, the same in every branch but for what constants hold: (n, T, K) at the beginning."""

from random import Random

import numpy as np

from scission.models.sketch import Sketch

UNARY = ["Relu", "Tanh", "Sigmoid", "Neg", "Identity"]


def random_branches(seed: int, *, lanes: int | None = None):
    """A model with an input 'x' (n, lanes, T, K) that is cut into branches, which end in one random way."""
    rng = Random(seed)
    values = np.random.default_rng(seed)
    lanes = lanes or rng.randint(2, 4)
    sketch = Sketch(values)
    shape = [rng.randint(1, 3), rng.randint(1, 4)]
    shared = rng.random() < 0.25
    x = sketch.input("x", ["n", *shape] if shared else ["n", lanes, *shape])
    spare = sketch.input("spare", ["n", 1, 1])
    steps = [rng.randrange(1 << 30) for _ in range(rng.randint(1, 6))]
    equal = rng.random() < 0.4
    watched = rng.randrange(len(steps)) if rng.random() < 0.3 else None
    results = []
    for lane in range(lanes):
        piece = x if shared else sketch.op("Gather", x, np.asarray(lane, np.int64), axis=1)
        value, own = piece, list(shape)
        for index, step in enumerate(steps):
            own_values = np.random.default_rng((step, 0 if equal else lane))
            value, own = grown(sketch, Random(step), own_values, value, own, spare)
            if watched == index and lane == lanes - 1:
                sketch.output(value, shape=["n", *own], name="watched")
                watched = None
        results.append(value)
    ended(sketch, rng, results, len(own) + 1)
    return sketch.model(), [lanes, *shape], shared


def grown(sketch, rng: Random, values, value, shape, spare):
    """One more operator of a branch; shape: of its value, without the batch."""
    normal = lambda *extents: np.asarray(values.standard_normal(extents), np.float32)  # noqa: E731
    rank = len(shape) + 1
    kind = rng.randrange(17)
    if kind == 0:
        return sketch.op(rng.choice(UNARY), value), shape
    if kind in (1, 2, 3) and rank >= 2:
        width = rng.randint(1, 4)
        return sketch.op("MatMul", value, normal(shape[-1], width)), [*shape[:-1], width]
    if kind == 4:
        extents = shape[rng.randint(0, len(shape)) :]
        constant = normal(*[extent if rng.random() < 0.7 else 1 for extent in extents])
        return sketch.op(rng.choice(["Add", "Mul", "Sub"]), value, constant), shape
    if kind == 5:
        return sketch.op("Add", value, sketch.op("Tanh", value)), shape
    if kind == 6 and rank == 3:
        return sketch.op("Transpose", value, perm=[0, 2, 1]), shape[::-1]
    if kind == 7:
        return sketch.op("Softmax", value, axis=rng.choice([-1, rank - 1])), shape
    if kind == 8 and rank == 3:
        return sketch.op("Reshape", value, [0, -1]), [shape[0] * shape[1]]
    if kind == 9 and rank == 2:
        return sketch.op("Unsqueeze", value, [rng.choice([1, -2])]), [1, *shape]
    if kind == 10:
        axis = rng.randint(1, rank - 1)
        kept = [extent if at + 1 != axis else 1 for at, extent in enumerate(shape)]
        return sketch.op("ReduceMean", value, axes=[axis], keepdims=1), kept
    if kind == 11 and rank == 3:
        return sketch.op(rng.choice(["Add", "Mul"]), value, spare), shape
    if kind == 12 and rank == 3:
        return sketch.op("Flatten", value), [shape[0] * shape[1]]
    if kind == 13:
        index = rng.sample(range(shape[-1]), rng.randint(1, shape[-1]))
        picked = sketch.op("Gather", value, np.asarray(index, np.int64), axis=rng.choice([-1, rank - 1]))
        return picked, [*shape[:-1], len(index)]
    if kind == 14:
        fixed = np.random.default_rng(shape[-1]).standard_normal((2, shape[-1])).astype(np.float32)
        return sketch.op("LayerNormalization", value, fixed[0], fixed[1], axis=-1), shape
    if kind == 15 and rank == 3:
        return sketch.op("ReduceSum", value, [rng.choice([1, -2])], keepdims=0), shape[1:]
    if kind == 16 and rank == 3:
        return sketch.op("MatMul", value, sketch.op("Transpose", value, perm=[0, 2, 1])), [shape[0], shape[0]]
    return sketch.op("Slice", value, [0], [shape[-1]], [rank - 1]), shape


def ended(sketch, rng: Random, results, rank) -> None:
    """The branches joined, or as outputs of the graph."""
    kind, axis = rng.randrange(6), rng.randrange(rank)
    order = results if rng.random() < 0.6 else rng.sample(results, len(results))
    if kind == 0:
        joined = sketch.op("Concat", *order, axis=axis)
    elif kind == 1:
        axis = rng.randrange(rank + 1)
        joined = sketch.op("Concat", *(sketch.op("Unsqueeze", value, [axis]) for value in order), axis=axis)
    elif kind == 2:
        joined = sketch.op(rng.choice(["Sum", "Mean"]), *order)
    elif kind == 3:
        joined = order[0]
        for value in order[1:]:
            joined = sketch.op("Add", joined, value)
    elif kind == 4:
        pairs = [
            sketch.op("Add", *order[at : at + 2]) if at + 1 < len(order) else order[at]
            for at in range(0, len(order), 2)
        ]
        joined = sketch.op("Concat", *pairs, axis=axis)
    else:
        for at, value in enumerate(order):
            sketch.output(value, name=f"y{at}", shape=["n"] + [None] * (rank - 1))
        return
    sketch.output(joined, name="y")
