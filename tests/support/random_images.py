"""Branches of random convolutions and pools on pieces of one input, the same in each but for what weights hold."""

from random import Random

import numpy as np

from scission.models.sketch import Sketch

UNARY = ("Relu", "Tanh", "Sigmoid", "LeakyRelu")


def random_images(seed: int):
    """A model with an input 'x', images that are cut into branches along an axis of their own or along channels; and
    the shape of 'x' behind its batch."""
    rng = Random(seed)
    sketch = Sketch(np.random.default_rng(seed))
    lanes, channels, flat = rng.randint(2, 4), rng.randint(1, 4), rng.random() < 0.3
    places = [rng.randint(4, 9) for _ in range(1 if flat else 2)]
    kind = rng.choice(["own", "channels", "shared"])
    shape = {"own": [lanes, channels], "channels": [lanes * channels], "shared": [channels]}[kind] + places
    x = sketch.input("x", ["n", *shape])
    if kind == "own":
        pieces = [sketch.op("Gather", x, np.asarray(lane, np.int64), axis=1) for lane in range(lanes)]
    elif kind == "channels":
        bounds = [[lane * channels] for lane in range(lanes + 1)]
        pieces = [sketch.op("Slice", x, bounds[lane], bounds[lane + 1], [1]) for lane in range(lanes)]
    else:
        pieces = [x] * lanes
    steps = [rng.randrange(1 << 30) for _ in range(rng.randint(1, 4))]
    equal = rng.random() < 0.4
    watched = rng.randrange(len(steps)) if rng.random() < 0.3 else None
    results = []
    for lane, value in enumerate(pieces):
        own = [channels, *places]
        for index, step in enumerate(steps):
            weights = np.random.default_rng((step, 0 if equal else lane))
            value, own = _grown(sketch, Random(step), weights, value, own)
            if watched == index and lane == lanes - 1:
                sketch.output(value, shape=["n", *own], name="watched")
        results.append(value)
    _ended(sketch, rng, results, len(own) + 1)
    return sketch.model(), shape


def _grown(sketch, rng: Random, weights, value, shape):
    """One more operator of a branch; shape: of its images, without the batch."""
    normal = lambda *extents: np.asarray(weights.standard_normal(extents), np.float32)  # noqa: E731
    channels, *places = shape
    kind = rng.randrange(8)
    if kind < 4:
        groups = rng.choice([one for one in (1, 1, channels) if channels % one == 0])
        results, window = groups * rng.randint(1, 3), [rng.randint(1, 3) for _ in places]
        kernel = normal(results, channels // groups, *window)
        options = {"group": groups, "pads": [1] * (2 * len(places))}
        if rng.random() < 0.3:
            options["strides"] = [rng.randint(1, 2) for _ in places]
        bias = [normal(results)] if rng.random() < 0.6 else []
        made = sketch.op("Conv", value, kernel, *bias, **options)
        steps = options.get("strides", [1] * len(places))
        own = [(one + 2 - wide) // step + 1 for one, wide, step in zip(places, window, steps, strict=True)]
        return made, [results, *own]
    if kind == 4:
        return sketch.op(rng.choice(UNARY), value), shape
    if kind == 5 and min(places) > 1:
        op = rng.choice(["MaxPool", "AveragePool"])
        return sketch.op(op, value, kernel_shape=[2] * len(places)), [channels, *(one - 1 for one in places)]
    if kind == 6:
        constant = normal(channels, *[1] * len(places))
        return sketch.op(rng.choice(["Add", "Mul"]), value, constant), shape
    return sketch.op("Add", value, sketch.op("Sigmoid", value)), shape


def _ended(sketch, rng: Random, results, rank) -> None:
    """The branches joined, added up, or as outputs of the graph."""
    order = results if rng.random() < 0.6 else rng.sample(results, len(results))
    kind = rng.randrange(4)
    if kind == 0:
        sketch.output(sketch.op("Concat", *order, axis=rng.randrange(rank)), name="y")
    elif kind == 1:
        sketch.output(sketch.op("Sum", *order), name="y")
    elif kind == 2:
        axis = rng.randrange(rank + 1)
        stacked = [sketch.op("Unsqueeze", value, [axis]) for value in order]
        sketch.output(sketch.op("Concat", *stacked, axis=axis), name="y")
    else:
        for at, value in enumerate(order):
            sketch.output(value, name=f"y{at}", shape=["n"] + [None] * (rank - 1))
