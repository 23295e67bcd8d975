"""Drift: how what enters the linears of a model moved in a changed model of the same graph."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.graph.linear import Linear
from ...ir.io.load import Model
from ...passes.anneal.activity.refit import InputDrift
from .activations import CalibrationError, activations, observable

__all__ = ["drift"]

Array = npt.NDArray[Any]
Feeds = Iterable[Mapping[str, Array]]


def drift(
    original: Model, changed: Model, linears: Iterable[Linear], feeds: Feeds, **options: Any
) -> dict[str, tuple[InputDrift, Array, Array, int]]:
    """How the inputs X of each linear moved to X̃ in a model of the same graph, by address, for `refit`.

    Each entry is (drift, X̃ᵀX̃, mean of X̃, samples). linears: of the original; options: of `activations`.
    Raises CalibrationError when the changed model lacks a value, or has it in another shape.
    """
    kept, _ = observable(original, linears)
    sums: dict[str, list[Array]] = {}
    if lost := observable(changed, kept)[1]:
        raise CalibrationError(f"{changed.name}: {lost[0].node}: {lost[0].reason}; give two models of the same graph")
    first, second = itertools.tee(feeds)
    before = activations(original, kept, first, outputs=False, **options)
    after = activations(changed, kept, second, outputs=False, **options)
    for (linear, x, _), (_, moved, _) in zip(before, after, strict=True):
        if x.shape != moved.shape:
            raise CalibrationError(f"{changed.name}: {linear.address}: {moved.shape} enters instead of {x.shape}")
        finite = np.isfinite(x.astype(np.float64)).all(axis=1) & np.isfinite(moved.astype(np.float64)).all(axis=1)
        X, Y = x[finite].astype(np.float64), moved[finite].astype(np.float64)
        parts = [Y.T @ X, X.T @ X, Y.T @ Y, X.sum(axis=0), Y.sum(axis=0), np.array(len(X))]
        known = sums.setdefault(linear.address, parts)
        if known is not parts:
            for place, part in enumerate(parts):
                known[place] = known[place] + part
    return {address: _drift(original.name, address, parts) for address, parts in sums.items()}


def _drift(name: str, address: str, parts: Sequence[Array]) -> tuple[InputDrift, Array, Array, int]:
    cross, gram, moved, total, moved_total, samples = parts
    count = int(samples)
    if not count:
        raise CalibrationError(f"{name}: {address}: all samples are NaN or infinite")
    return InputDrift(cross=cross, gram=gram, mean=total / count), moved, moved_total / count, count
