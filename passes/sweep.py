"""How the structure of one weight changes with the predicate that makes an entry an edge."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from .components import components
from .structure import Engine, structure

if TYPE_CHECKING:
    import torch

__all__ = ["Level", "Predicate", "structure_sweep"]

Scope = Literal["auto", "states", "operator"]
Predicate: TypeAlias = "float | Callable[[Any], Any]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The structure under one predicate.

    predicate: the threshold, or the name of the function; edges: entries that are edges; components: independent
    ones, features or states without edges not counted; giant: share of all features in the largest, 0 to 1; isolated:
    features or states without edges; sccs, layers: of the digraph over shared states, None for an operator.
    """

    predicate: float | str
    edges: int
    components: int
    giant: float
    isolated: int
    sccs: int | None = None
    layers: int | None = None


def structure_sweep(
    weight: npt.NDArray[Any] | torch.Tensor,
    predicates: Iterable[Predicate],
    *,
    scope: Scope = "auto",
    engine: Engine = "auto",
    device: str | torch.device | None = None,
) -> tuple[Level, ...]:
    """The structure of a weight (K, N) under many predicates P: the monitor of what annealing does to it.

    predicates: thresholds t, for edges |w| > t (NaN is one), or functions of the weight that give a Boolean matrix.
    scope: 'states' for the digraph over shared states of a square weight, 'operator' for inputs and outputs apart,
    'auto' by shape. The weight is copied to the device once, and magnitudes are taken once. Raises ValueError for a
    weight that is no matrix, or has states and is not square.

    >>> W = np.diag([1.0, 2.0, 3.0]) + 0.1
    >>> [(level.predicate, level.components, level.sccs) for level in structure_sweep(W, [0.0, 0.5, 2.5])]
    [(0.0, 1, 1), (0.5, 3, 3), (2.5, 1, 3)]
    """
    if scope not in get_args(Scope):
        raise ValueError(f"unknown scope {scope!r}; use one of {', '.join(get_args(Scope))}")
    if weight.ndim != 2:
        raise ValueError(f"a weight has two dimensions, not {weight.ndim}")
    square = weight.shape[0] == weight.shape[1]
    if scope == "states" and not square:
        raise ValueError(f"a weight of shape {tuple(weight.shape)} has no shared states; use the scope 'operator'")
    states = square and scope != "operator"
    held: Any = weight
    if device is not None or engine in ("matrix", "search"):
        from .device import pick_device

        held = _moved(weight, pick_device(device or "cpu"))
    magnitude = abs(held)
    return tuple(
        _level(name, _checked(name, mask, tuple(weight.shape)), states, engine)
        for name, mask in (
            (getattr(p, "__name__", repr(p)), p(held)) if callable(p) else (float(p), ~(magnitude <= p))
            for p in predicates
        )
    )


def _checked(name: float | str, mask: Any, shape: tuple[int, ...]) -> Any:
    if tuple(getattr(mask, "shape", ())) != shape:
        raise ValueError(f"predicate {name!r} must give a Boolean matrix of the weight's shape {shape}")
    return mask


def _moved(weight: Any, device: torch.device) -> Any:
    import torch

    if isinstance(weight, torch.Tensor):
        return weight.to(device)
    numbers = weight if weight.dtype.kind in "fiub" else weight.astype(np.float32)  # bfloat16 is exact in float32
    return torch.from_numpy(np.ascontiguousarray(numbers)).to(device)


def _level(name: float | str, mask: Any, states: bool, engine: Engine) -> Level:
    if not states:
        host = mask.cpu().numpy() if hasattr(mask, "cpu") else np.asarray(mask)
        parts = components(host)
        dormant = int((parts.inputs < 0).sum() + (parts.outputs < 0).sum())
        return Level(
            predicate=name, edges=parts.nonzeros, components=parts.count, giant=parts.giant, isolated=dormant
        )
    found = structure(mask.T, engine=engine)
    lone = int(found.isolated.sum())
    return Level(
        predicate=name,
        edges=int(mask.sum()),
        components=found.components - lone,
        giant=found.giant,
        isolated=lone,
        sccs=found.sccs,
        layers=found.layers,
    )
