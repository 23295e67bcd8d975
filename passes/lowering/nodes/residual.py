"""Single entries beside the blocks: Gather the inputs, multiply each by its weight, add it to its output.

In features-first layout, where gathering and adding rows copies whole rows.
"""

from __future__ import annotations

import numpy as np

from ....ir.graph.constants import Constants
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Decomposition, Indices
from .emitter import Emitter

__all__ = ["add_residual", "add_rows", "levels"]

ADDS = 16  # operator set whose ScatterND adds
ADDED = (ir.DataType.FLOAT, ir.DataType.DOUBLE)  # what that adds on a CPU


def add_residual(
    emitter: Emitter, constants: Constants, decomposition: Decomposition, features: ir.Value, whole: ir.Value
) -> ir.Value:
    """A result (N, M) of the blocks with the residual entries added; features: the activation (K, M)."""
    if not decomposition.residual:
        return whole
    linear = emitter.linear
    canonical = linear.canonical(constants)
    for level, entries in enumerate(levels(decomposition)):
        inputs, outputs = entries.T
        role = f"residual.{level}"
        values = canonical[inputs, outputs]
        if linear.alpha != 1.0:
            values = values * np.asarray(linear.alpha, values.dtype)
        rows = emitter.one("Gather", [features, emitter.integers(inputs, f"{role}/inputs")], role, axis=0)
        scaled = emitter.one("Mul", [rows, emitter.constant(values[:, None], f"{role}/weight")], role)
        whole = add_rows(emitter, whole, outputs, scaled, role)
    return whole


def levels(decomposition: Decomposition) -> list[Indices]:
    """The residual entries (s, 2) in steps in which no output comes twice.

    >>> [step.tolist() for step in levels(Decomposition((3, 2), (), residual=((0, 1), (1, 0), (2, 1))))]
    [[[0, 1], [1, 0]], [[2, 1]]]
    """
    entries = np.array(decomposition.residual, np.int64).reshape(-1, 2)
    order = np.argsort(entries[:, 1], kind="stable")
    outputs = entries[order, 1]
    nth = np.empty(len(entries), np.int64)
    nth[order] = np.arange(len(entries)) - np.searchsorted(outputs, outputs)
    return [entries[nth == level] for level in range(int(nth.max(initial=-1)) + 1)]


def add_rows(emitter: Emitter, whole: ir.Value, places: Indices, rows: ir.Value, role: str) -> ir.Value:
    """A value (N, M) with `rows` added to those at `places`, which differ; by one ScatterND where that can add."""
    index = emitter.constant(np.asarray(places, np.int64)[:, None], f"{role}/outputs")
    if emitter.opset >= ADDS and emitter.linear.dtype in ADDED:
        return emitter.one("ScatterND", [whole, index, rows], role, reduction="add")
    held = emitter.one("Gather", [whole, emitter.integers(places, f"{role}/rows")], role, axis=0)
    return emitter.one("ScatterND", [whole, index, emitter.one("Add", [held, rows], role)], role)
