"""Branches that are alike: one small network written out several times, each copy named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import onnx

from ..sketch import Sketch, Tensor

__all__ = ["ENDS", "SOURCES", "Branches", "End", "Repeated", "Source", "repeated"]

Source: TypeAlias = Literal["shared", "slices", "places", "gathers", "split"]
End: TypeAlias = Literal["concat", "stack", "sum", "adds", "mean", "outputs"]
SOURCES: tuple[Source, ...] = ("shared", "slices", "places", "gathers", "split")
ENDS: tuple[End, ...] = ("concat", "stack", "sum", "adds", "mean", "outputs")


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """What to write out: `lanes` copies, hidden layers of `widths` behind `inputs` features.

    equal: whether all copies have the same weights; source: what copies read: one value, slices of its last axis,
    slices of one place of its second axis squeezed, the same by Gather, or parts of a Split; end: what joins them;
    gemm: whether layers are Gemm, MatMul and Add else; axis: of 'concat' and 'stack'; watched: whether a hidden value
    of the first copy is a graph output as well; shuffled: whether copies are written in another order than joined.
    """

    lanes: int = 3
    inputs: int = 4
    widths: tuple[int, ...] = (5, 3)
    equal: bool = False
    source: Source = "slices"
    end: End = "concat"
    gemm: bool = False
    activation: str = "Relu"
    axis: int = 1
    watched: bool = False
    shuffled: bool = False
    opset: int = 17


@dataclass(frozen=True)
class Branches:
    """A model, and the names of the products of each copy in order."""

    model: onnx.ModelProto
    products: tuple[tuple[str, ...], ...]


def repeated(rng: np.random.Generator, what: Repeated) -> Branches:
    """Write a network out several times; the input 'x' has an open batch."""
    sketch = Sketch(rng)
    sketch.opset = what.opset
    pieces = _pieces(sketch, what)
    kept = _weights(sketch, what)
    order = list(range(what.lanes))
    if what.shuffled:
        rng.shuffle(order)
    results: dict[int, Tensor] = {}
    names: dict[int, tuple[str, ...]] = {}
    for lane in order:
        weights = kept if what.equal else _weights(sketch, what)
        results[lane], names[lane] = _copy(sketch, what, lane, pieces[lane], weights)
    _join(sketch, what, [results[lane] for lane in range(what.lanes)])
    return Branches(sketch.model(), tuple(names[lane] for lane in range(what.lanes)))


def _pieces(sketch: Sketch, what: Repeated) -> list[Tensor]:
    lanes, inputs = what.lanes, what.inputs
    if what.source == "shared":
        return [sketch.input("x", ["n", inputs])] * lanes
    if what.source in ("slices", "split"):
        x = sketch.input("x", ["n", lanes * inputs])
        if what.source == "split":
            sizes = [inputs] * lanes
            if what.opset < 13:
                return list(sketch.op("Split", x, outputs=lanes, axis=1, split=sizes))
            return list(sketch.op("Split", x, sizes, outputs=lanes, axis=1))
        return [sketch.op("Slice", x, [at * inputs], [(at + 1) * inputs], [1]) for at in range(lanes)]
    x = sketch.input("x", ["n", lanes, inputs])
    if what.source == "gathers":
        return [sketch.op("Gather", x, np.asarray(at, np.int64), axis=1) for at in range(lanes)]
    cut = [sketch.op("Slice", x, [at], [at + 1], [1]) for at in range(lanes)]
    return [_axis(sketch, what, "Squeeze", piece, 1) for piece in cut]


def _axis(sketch: Sketch, what: Repeated, op: str, value: Tensor, axis: int) -> Tensor:
    return sketch.op(op, value, axes=[axis]) if what.opset < 13 else sketch.op(op, value, [axis])


def _weights(sketch: Sketch, what: Repeated) -> list[tuple[Tensor, Tensor]]:
    ends = zip((what.inputs, *what.widths), what.widths, strict=False)
    return [(sketch.constant(sketch.normal((k, n)), "W"), sketch.constant(sketch.normal((n,)), "b")) for k, n in ends]


def _copy(
    sketch: Sketch, what: Repeated, lane: int, value: Tensor, weights: list[tuple[Tensor, Tensor]]
) -> tuple[Tensor, tuple[str, ...]]:
    names = []
    for depth, (weight, bias) in enumerate(weights):
        names.append(f"branch{lane}_{depth}")
        if what.gemm:
            value = sketch.op("Gemm", value, weight, bias, name=names[-1])
        else:
            value = sketch.op("Add", sketch.op("MatMul", value, weight, name=names[-1]), bias)
        if depth < len(weights) - 1:
            value = sketch.op(what.activation, value)
            if what.watched and lane == depth == 0:
                sketch.output(value, shape=["n", what.widths[0]], name="watched")
    return value, tuple(names)


def _join(sketch: Sketch, what: Repeated, results: list[Tensor]) -> None:
    if what.end == "outputs":
        for lane, value in enumerate(results):
            sketch.output(value, name=f"y{lane}")
        return
    if what.end == "concat":
        joined = sketch.op("Concat", *results, axis=what.axis)
    elif what.end == "stack":
        stood = [_axis(sketch, what, "Unsqueeze", value, what.axis) for value in results]
        joined = sketch.op("Concat", *stood, axis=what.axis)
    elif what.end == "adds":
        joined = results[0]
        for value in results[1:]:
            joined = sketch.op("Add", joined, value)
    else:
        joined = sketch.op(what.end.capitalize(), *results)
    sketch.output(joined, name="y")
