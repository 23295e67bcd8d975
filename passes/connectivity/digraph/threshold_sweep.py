"""How the structure of one weight changes with the predicate that makes an entry an edge."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ....ir.relation import Relation
from ..bipartite import components
from ..edges import floor, relate
from .structure import Engine, structure

if TYPE_CHECKING:
    import torch

__all__ = ["Level", "Predicate", "structure_sweep"]

Scope = Literal["auto", "state", "operator"]
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
    scope: 'state' for the digraph over shared states of a square weight, 'operator' for inputs and outputs apart,
    'auto' by shape; engine: as in `structure`; device: that it runs on. The weight is copied to a device once and its
    magnitudes are taken once; on the CPU edges are packed in one pass a predicate, one bit an entry. Raises ValueError
    for a weight that is no matrix, or is to have states and is not square, for a negative threshold, and for a function
    that gives another shape.

    >>> W = np.diag([1.0, 2.0, 3.0]) + 0.1
    >>> [(level.predicate, level.components, level.sccs) for level in structure_sweep(W, [0.0, 0.5, 2.5])]
    [(0.0, 1, 1), (0.5, 3, 3), (2.5, 1, 3)]
    """
    if scope not in get_args(Scope):
        raise ValueError(f"unknown scope {scope!r}; use one of {', '.join(get_args(Scope))}")
    if weight.ndim != 2:
        raise ValueError(f"a weight has two dimensions, not {weight.ndim}")
    square = weight.shape[0] == weight.shape[1]
    if scope == "state" and not square:
        raise ValueError(f"a weight of shape {tuple(weight.shape)} has no shared states; use the scope 'operator'")
    states = square and scope != "operator"
    predicates = tuple(predicates)
    for threshold in (p for p in predicates if not callable(p)):
        if not threshold >= 0:
            raise ValueError(f"threshold {threshold} is no number from 0 up")
    if device is None and engine not in ("matrix", "search"):
        host = _moved(weight, "cpu").numpy() if hasattr(weight, "detach") else weight
        return tuple(_level(*_relation(host, predicate), states, engine) for predicate in predicates)
    from ..device import pick_device

    held = _moved(weight, pick_device(device or "cpu"))
    magnitude = abs(held)
    return tuple(_level(*_mask(held, magnitude, predicate), states, engine) for predicate in predicates)


def _relation(weight: npt.NDArray[Any], predicate: Predicate) -> tuple[float | str, Relation]:
    """The edges under a predicate, on the host, packed."""
    if callable(predicate):
        return _name(predicate), relate(np.asarray(_checked(predicate, weight)))
    return float(predicate), relate(weight, predicate)


def _mask(held: torch.Tensor, magnitude: torch.Tensor, predicate: Predicate) -> tuple[float | str, torch.Tensor]:
    """The edges under a predicate, where the weight is."""
    if callable(predicate):
        return _name(predicate), _checked(predicate, held)
    dtype = np.dtype(str(magnitude.dtype).removeprefix("torch."))
    return float(predicate), ~(magnitude <= float(floor(predicate, dtype)))


def _name(predicate: Callable[[Any], Any]) -> str:
    return getattr(predicate, "__name__", repr(predicate))


def _checked(predicate: Callable[[Any], Any], weight: Any) -> Any:
    mask = predicate(weight)
    if tuple(getattr(mask, "shape", ())) != tuple(weight.shape):
        raise ValueError(
            f"predicate {_name(predicate)!r} must give a Boolean matrix of the weight's shape {tuple(weight.shape)}"
        )
    return mask


def _moved(weight: Any, device: str | torch.device) -> torch.Tensor:
    """The weight on a device, in a type that has the magnitude of each of its numbers."""
    import torch

    if not isinstance(weight, torch.Tensor):
        kinds = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": np.float32}
        wide = np.complex128 if weight.dtype.kind == "c" else np.float64
        weight = torch.from_numpy(np.array(weight, kinds.get(weight.dtype.name, wide), order="C"))
    weight = weight.detach()
    exact = weight.dtype in (torch.float16, torch.float32, torch.float64) or weight.is_complex()
    wider = torch.float32 if weight.is_floating_point() else torch.float64
    return weight.to(device).to(weight.dtype if exact else wider)


def _level(name: float | str, edges: Relation | torch.Tensor, states: bool, engine: Engine) -> Level:
    if not states:
        parts = components(edges if isinstance(edges, Relation) else edges.cpu().numpy())
        return Level(
            predicate=name,
            edges=parts.nonzeros,
            components=parts.count,
            giant=parts.giant,
            isolated=parts.dormant,
        )
    if isinstance(edges, Relation):
        found, count = structure(edges.transposed(), engine=engine), edges.count
    else:
        from ..boolean import row_counts

        found, count = structure(edges.t(), engine=engine), int(row_counts(edges).sum())
    lone = int(found.isolated.sum())
    return Level(
        predicate=name,
        edges=count,
        components=found.components - lone,
        giant=found.giant,
        isolated=lone,
        sccs=found.sccs,
        layers=found.layers,
    )
