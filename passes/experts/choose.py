"""Experts chosen by what calibration samples show: shared units, groups, a router, and what the rest is to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.reason import Cause, Reason
from .expert_split import ExpertSplit, largest
from .grouping import balanced_groups, coactivation
from .router import Router, analytic_router, captured, contributions, fitted_router

__all__ = ["ExpertSettings", "NetworkSamples", "choose_experts", "fitted_down", "why_not_sparse"]

Array = npt.NDArray[Any]

SPARSE = 0.35  # the mean share of hidden units that are not zero, above which experts have little to leave out
RIDGE = 1e-3  # of the mean of the diagonal


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertSettings:
    """count: experts; active: how many of them a sample runs; shared: the share of the units that always run, rounded
    so that experts are of one size; router: 'fitted', 'analytic', or the one that captures more, None."""

    count: int = 32
    active: int = 8
    shared: float = 0.2
    router: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkSamples:
    """A network y = relu(x U + a) V and samples of it: x (M, d), hidden (M, H) behind the ReLU.

    names: addresses of its linears; sha256: of their weights; up (d, H), bias (H,), down (H, d').
    """

    names: tuple[str, str]
    sha256: tuple[str, str]
    up: Array
    bias: Array
    down: Array
    x: Array
    hidden: Array


def why_not_sparse(hidden: Array) -> Reason | None:
    """Why experts would leave out too much: too many hidden units (M, H) are not zero; None where few are.

    >>> print(why_not_sparse(np.ones((4, 3))).text)
    100% of its hidden units are not zero in the mean sample, and experts pay below 35%
    >>> why_not_sparse(np.eye(8)) is None
    True
    """
    share = float(np.count_nonzero(hidden) / max(hidden.size, 1))
    if share <= SPARSE:
        return None
    text = f"{share:.0%} of its hidden units are not zero in the mean sample, and experts pay below {SPARSE:.0%}"
    return Reason(Cause.NOT_SPARSE, text)


def choose_experts(samples: NetworkSamples, settings: ExpertSettings, rng: np.random.Generator) -> ExpertSplit:
    """Experts of a network: units that matter most always run, others are grouped by activity, a router chooses groups.

    What a unit matters is the mean norm of what it adds to the result. Deterministic given `rng`. Raises ExpertError
    for settings that do not fit. Sources: Zhang et al., MoEfication, 2022; Pei et al., CMoE, 2025 (shared units).
    """
    count, H = settings.count, samples.hidden.shape[1]
    worth = samples.hidden.mean(axis=0, dtype=np.float64) * np.linalg.norm(samples.down.astype(np.float64), axis=1)
    own = int((1 - settings.shared) * H / count) or 1
    order = np.argsort(-worth, kind="stable")
    shared, rest = np.sort(order[: H - own * count]), np.sort(order[H - own * count :])
    points = coactivation(samples.hidden[:, rest] != 0)
    groups = rest[balanced_groups(points, count, rng)]
    contribution = contributions(samples.hidden, samples.down, groups)
    router, offset = _router(samples, settings, groups, contribution)
    return ExpertSplit(
        up=samples.names[0],
        down=samples.names[1],
        sha256=samples.sha256,
        shared=shared,
        groups=groups,
        router=router,
        offset=offset,
        active=settings.active,
    )


def _router(samples: NetworkSamples, settings: ExpertSettings, groups: Array, contribution: Array) -> Router:
    made: dict[str, Router] = {}
    if settings.router != "analytic":
        made["fitted"] = fitted_router(samples.x, contribution)
    if settings.router != "fitted":
        made["analytic"] = analytic_router(samples.hidden, samples.up, samples.bias, groups)

    def share(router: Router) -> float:
        return captured(contribution, largest(samples.x @ router[0] + router[1], settings.active))

    return max(made.values(), key=share)


def fitted_down(split: ExpertSplit, x: Array, hidden: Array, down: Array, target: Array, ridge: float = RIDGE) -> Array:
    """The V (H, d') by which what runs comes nearest to the target, drawn towards the one that the model has.

    x (M, d), hidden (M, H) of the network as it is fed now; target (M, d'): what it is to compute. Never worse on
    these samples than `down`, which comes back where rounding would make it so.
    """
    running = np.where(split.running(x), hidden, 0).astype(np.float32)
    gram = (running.T @ running).astype(np.float64)
    rest = (target - running @ down).astype(np.float32)
    load = ridge * max(float(np.trace(gram)) / len(gram), np.finfo(np.float64).tiny)
    moved = np.linalg.solve(gram + load * np.eye(len(gram)), (running.T @ rest).astype(np.float64))
    found = (down + moved).astype(down.dtype)
    better = np.linalg.norm(target - running @ found) <= np.linalg.norm(rest)
    return found if better else down
