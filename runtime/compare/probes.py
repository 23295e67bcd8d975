"""What each rewritten linear must compute, exactly: the references that the equivalence check is held against."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.graph.constants import Constants
from ...ir.graph.linear import Linear
from ...ir.graph.survey import survey
from ...ir.onnx_ir import onnx_ir as ir
from .rounding import product_bound
from .verdict import Probe

__all__ = ["probes"]

Array = npt.NDArray[Any]
COLUMNS = 1 << 22  # weight entries turned into float64 at a time


def probes(model: ir.Model, split: Container[str], staged: Container[str] = ()) -> list[Probe]:
    """One probe for each linear of the original model's main graph whose address is in `split`; staged: of those the
    ones whose weights are written as factors, which are certified for inputs that are all as large as the largest.

    Left out, because their result is not one product of one activation in the graph: Conv, operators with a fused
    activation or a dynamic addend, recurrent operators, and whatever stands in subgraphs and functions. Those are
    covered by the outputs.
    """
    found = survey(model)
    main = set(model.graph)
    return [
        Probe(
            node=linear.address,
            input=linear.activation.name or "",
            output=linear.output.name or "",
            reference=_reference(linear, found.constants, linear.address in staged),
            by_rows=linear.layout.kind == "rows",
        )
        for linear in found.linears
        if linear.address in split and linear.node in main and _is_plain(linear)
    ]


def _is_plain(linear: Linear) -> bool:
    named = bool(linear.activation.name and linear.output.name)
    return named and linear.layout.kind != "conv" and not linear.slices and not linear.fused and linear.addend is None


def _reference(linear: Linear, constants: Constants, staged: bool) -> Callable[..., tuple[Array, Array]]:
    def reference(x: Array, narrow: np.dtype[Any] | None = None) -> tuple[Array, Array]:
        W = linear.canonical(constants)
        if narrow is not None and narrow.itemsize >= np.dtype(linear.dtype.numpy()).itemsize:
            narrow = None  # it is computed so in the original already
        bias = _bias(linear, constants)
        rows = _rows_first(linear, x)
        step = max(1, COLUMNS // max(W.shape[0], 1))
        parts = [
            product_bound(
                rows,
                linear.alpha * W[:, start : start + step].astype(np.float64),
                W.shape[0] + 4,  # K products, alpha, beta and the bias
                bias=None if bias is None else bias[start : start + step],
                narrow=narrow,
                staged=staged,
            )
            for start in range(0, W.shape[1], step)
        ]
        exact, bound = (np.concatenate(side, axis=-1) for side in zip(*parts, strict=True))
        return _back(linear, exact), _back(linear, bound)

    return reference


def _bias(linear: Linear, constants: Constants) -> Array | None:
    if linear.bias is None or linear.bias.via is not None:
        return None
    flat = constants.read(linear.bias.value).astype(np.float64).reshape(-1)
    return np.broadcast_to(linear.beta * flat, (linear.shape[1],))


def _rows_first(linear: Linear, x: Array) -> Array:
    """The activation with its features on the last axis."""
    if linear.layout.kind == "rows":
        return x
    return np.moveaxis(_transposed(x, linear.layout.enter), 0, -1)


def _back(linear: Linear, y: Array) -> Array:
    """The result as the operator lays it out."""
    return y if linear.layout.kind == "rows" else _transposed(np.moveaxis(y, -1, 0), linear.layout.exit)


def _transposed(array: Array, perm: Sequence[int] | None) -> Array:
    return array if perm is None else np.transpose(array, perm)
