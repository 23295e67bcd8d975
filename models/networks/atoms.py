"""Networks for each kind of atom, several of each: an ensemble whose members read slices of one input."""

from __future__ import annotations

import itertools

import numpy as np
import onnx

from ..sketch import Sketch

__all__ = ["atoms"]


def atoms(
    rng: np.random.Generator,
    members: int = 8,
    kinds: int = 7,
    widths: tuple[int, ...] = (16, 16, 16, 1),
    activation: str = "Relu",
) -> onnx.ModelProto:
    """Input 'x' (n, kinds · widths[0]): a network of its own for each slice and member, layers of `widths`; output 'y'
    (n, widths[-1]) is the mean over members of the sum over slices."""
    sketch = Sketch(rng)
    inputs = widths[0]
    x = sketch.input("x", ["n", kinds * inputs])
    pieces = [sketch.op("Slice", x, [at * inputs], [(at + 1) * inputs], [1]) for at in range(kinds)]
    energies = []
    for member in range(members):
        parts = []
        for kind, value in enumerate(pieces):
            for depth, (k, n) in enumerate(itertools.pairwise(widths)):
                weight, bias = sketch.normal((n, k)) / np.float32(np.sqrt(k)), sketch.normal((n,))
                name = f"member{member}/kind{kind}/{depth}"
                value = sketch.op("Gemm", value, weight, bias, name=name, transB=1)
                value = sketch.op(activation, value) if depth < len(widths) - 2 else value
            parts.append(value)
        total = parts[0]
        for part in parts[1:]:
            total = sketch.op("Add", total, part)
        energies.append(total)
    sketch.output(sketch.op("Mean", *energies), name="y")
    return sketch.model()
