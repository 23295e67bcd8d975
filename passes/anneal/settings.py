"""How a model is annealed: the test, its level, what is known of untouched weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.evidence.null import Null
from ...ir.graph.linear import Linear
from .edges.decision import AnnealError, Decision
from .edges.methods import METHODS, RESIDUAL, SOURCES, Correction, Method, Source
from .edges.update import updated

if TYPE_CHECKING:
    import torch

__all__ = ["Anneal"]

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

NullOf: TypeAlias = "Callable[[Linear], Null | None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anneal:
    """How to anneal.

    method: the test; 'paper' tests feed-forward networks as sequences and every other linear edge by edge (3.4), 'auto'
    takes the one that suits what is known of the start: 'update' with an initial checkpoint, 'support' where the
    initialisation is bounded, 'blocks' otherwise. level, correction: of the edge-wise tests. null: of a linear, None
    for a robust estimate; initial: canonical weights (K, N) by address, tolerance: of their type and that of the
    weight, the (relative, absolute) difference that a conversion alone may make. fill: keep everything inside the
    components of what is confirmed, False for the paper's removal edge by edge. residual: how many entries outside the
    blocks 'blocks' may keep beside them, drop_residual: remove them instead. axis: whose influence sums to one
    in the tests of equal influence (3.2.2 and 3.3.2). accept_null: anneal by an edge-wise test though the weight
    contradicts its null, which otherwise leaves it as it is. exposed: (K, N) which weights of a linear
    calibration data exposed, None where that is not known; others count as not confirmed. device: of torch, None for
    numpy.
    """

    method: Method = "auto"
    level: float = 0.05
    correction: Correction = "bonferroni"
    null: NullOf | None = None
    initial: Mapping[str, Array] = field(default_factory=dict)
    tolerance: Callable[[Any, Any], tuple[float, float]] | None = None
    fill: bool = True
    residual: int = RESIDUAL
    drop_residual: bool = False
    axis: Source = "inputs"
    accept_null: bool = False
    exposed: Callable[[Linear], Mask | None] | None = None
    seed: int = 0
    device: torch.device | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise AnnealError(f"unknown method {self.method!r}; use one of {', '.join(METHODS)}")
        if self.axis not in SOURCES:
            raise AnnealError(f"unknown axis {self.axis!r}; use one of {', '.join(SOURCES)}")
        if not 0 < self.level < 1:
            raise AnnealError(f"a level lies between 0 and 1, not at {self.level}")

    def updated(self, linear: Linear, weight: Array, *, on: Any = None) -> Decision:
        """Which edges of a linear changed since its initial weight, where one is known.

        on: the same weight on another device; what a conversion between the two types alone may make is no update.
        """
        initial = self.initial[linear.address]
        conversion = self.tolerance(initial.dtype, weight.dtype) if self.tolerance else (0.0, 0.0)
        return updated(weight if on is None else on, initial, conversion, level=self.level)
