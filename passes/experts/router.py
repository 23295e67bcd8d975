"""Which experts a sample runs, as a linear function of it: fitted to what experts add, or read off the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["analytic_router", "captured", "contributions", "fitted_router"]

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]
Router = tuple[Array, Array]

RIDGE = 1e-3  # of the mean square of a feature


def contributions(hidden: Array, down: Array, groups: Indices) -> Array:
    """The norm (M, E) of what each expert adds to the result of each sample: hidden (M, H), down (H, d')."""
    return np.stack([np.linalg.norm(hidden[:, units] @ down[units], axis=1) for units in groups], axis=1)


def fitted_router(x: Array, contribution: Array, ridge: float = RIDGE) -> Router:
    """(Weight (d, E), offset (E,)) of the least-squares prediction of contributions (M, E) from samples (M, d).

    Features that are nearly the same in all samples share what they explain (ridge over the mean square of a feature).
    """
    rows = np.concatenate([x, np.ones((len(x), 1), x.dtype)], axis=1).astype(np.float64)
    gram = rows.T @ rows
    load = ridge * max(float(np.trace(gram[:-1, :-1])) / max(x.shape[1], 1), np.finfo(np.float64).tiny)
    gram[np.arange(x.shape[1]), np.arange(x.shape[1])] += load
    found = np.linalg.solve(gram, rows.T @ contribution.astype(np.float64))
    return found[:-1].astype(x.dtype), found[-1].astype(x.dtype)


def analytic_router(hidden: Array, up: Array, bias: Array, groups: Indices) -> Router:
    """The weights (d, E) and offsets of the units that stand for their groups: whose activity follows the group's most.

    hidden (M, H); up (d, H), bias (H,). No training at all. Source: Pei et al., CMoE, 2025.
    """
    chosen = []
    for units in groups:
        own = hidden[:, units].astype(np.float64)
        mean = own.mean(1)
        centred, target = own - own.mean(0), mean - mean.mean()
        scale = np.sqrt((centred**2).sum(0) * (target**2).sum())
        likeness = np.divide(target @ centred, scale, out=np.full(units.size, -1.0), where=scale > 0)
        chosen.append(units[likeness.argmax()])
    return up[:, chosen], bias[chosen]


def captured(contribution: Array, chosen: npt.NDArray[np.bool_]) -> float:
    """The share of the squared contributions (M, E) that the chosen experts (M, E) make."""
    whole = float((contribution.astype(np.float64) ** 2).sum())
    return float((contribution.astype(np.float64) ** 2)[chosen].sum() / whole) if whole > 0 else 1.0
