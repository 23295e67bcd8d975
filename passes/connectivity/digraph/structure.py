"""The node table of a digraph: which engine finds it, and the permutation that shows it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ....ir.findings.structure import Parts, Structure
from ....ir.foreign import is_out_of_memory
from ....ir.relation import Relation
from ..device import DeviceError, analysis_device, pick_device
from ..edges import relate

if TYPE_CHECKING:
    import torch

__all__ = ["Engine", "Order", "structure"]

Engine = Literal["auto", "matrix", "search", "graph", "bitset"]
Order = Literal["isolated-last", "paper"]
LARGE = 2048  # states from which on starting CUDA is worth it
SMALL = 128  # states
DEGREE, MANY = 6, 64  # mean in-edges: enough for a giant SCC; so many that listing them costs more than bit sets


def structure(
    adjacency: npt.NDArray[Any] | Relation | torch.Tensor,
    *,
    engine: Engine = "auto",
    device: str | torch.device | None = None,
    order: Order = "isolated-last",
) -> Structure:
    """SCCs, condensation, layers, weak components, isolation and permutation of a digraph (appendix A).

    adjacency: (n, n), row i lists the in-edges of state i; what is not zero is an edge. engine: 'matrix', the paper's
    Boolean matrix products, and 'search', which closes only what a search leaves over, run with torch on any device;
    'graph' is scipy's linear search of the sparse matrix; 'bitset' searches rows packed into bits. All give the same
    numbers; 'auto' takes 'matrix' on CUDA, and of the last two on a CPU the one measured faster for the degree;
    `Structure.engine` names it. device: of torch, or 'auto': CUDA for large graphs where there is one; None is the CPU,
    or where the tensor lies. order: 'isolated-last' sorts by (isolated, component, layer, SCC, node), so that isolated
    states come last as (4.1) needs; 'paper' by (component, isolated, layer, SCC, node), the literal key. Raises
    ValueError unless the matrix is square, DeviceError without the device.

    >>> found = structure(np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]))
    >>> found.scc.tolist(), found.layer.tolist(), found.order.tolist(), found.engine
    ([0, 0, 0, 1], [0, 0, 0, 1], [0, 1, 2, 3], 'graph')
    """
    if engine not in get_args(Engine):
        raise ValueError(f"unknown engine {engine!r}; use one of {', '.join(get_args(Engine))}")
    if order not in get_args(Order):
        raise ValueError(f"unknown order {order!r}; use one of {', '.join(get_args(Order))}")
    shape = tuple(adjacency.shape)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"a digraph needs a square matrix, not one of shape {shape}")
    chosen = _device(adjacency, device, shape[0])
    on_device = engine in ("matrix", "search") or (engine == "auto" and chosen is not None and chosen.type != "cpu")
    if on_device:
        try:
            return _by_products(adjacency, "search" if engine == "search" else "matrix", chosen, order)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if device != "auto" or engine != "auto":
                where = chosen or "cpu"
                raise DeviceError(
                    f"device {str(where)!r} has not enough memory for {shape[0]:,} states; use the engine 'graph'"
                ) from None
    relation = _relation(adjacency)
    giant = None
    if engine == "auto":
        engine, giant = pick_on_cpu(relation)
    if engine == "graph":
        from .csgraph import by_graph

        return _assembled(by_graph(relation), relation.diagonal, engine, order)
    from .bitset import by_bitset

    return _assembled(by_bitset(relation, giant), relation.diagonal, engine, order)


def _device(adjacency: Any, device: str | torch.device | None, size: int) -> torch.device | None:
    """The device of torch to use, None for the CPU without torch. Raises DeviceError when it is not there."""
    if device is None or device == "auto":
        own = getattr(adjacency, "device", None)  # a text in arrays of numpy 2
        if own is not None and str(own) != "cpu":
            return pick_device(own)
        return analysis_device("auto", sys.maxsize) if device == "auto" and size >= LARGE else None
    return pick_device(device) if str(device) != "cpu" else None


def _by_products(
    adjacency: Any, engine: Literal["matrix", "search"], device: torch.device | None, order: Order
) -> Structure:
    """By Boolean matrix products, on the CPU where no device is given."""
    from ..boolean import as_tensor

    tensor = as_tensor(adjacency, device or "cpu")
    loops = tensor.diagonal().cpu().numpy()
    if engine == "matrix":
        from .products import by_closure

        return _assembled(by_closure(tensor), loops, engine, order)
    from .search import by_search

    return _assembled(by_search(tensor), loops, engine, order)


def pick_on_cpu(relation: Relation) -> tuple[Engine, npt.NDArray[np.bool_] | None]:
    """The engine for a matrix on the CPU, and its giant SCC where that was looked for.

    Measured (`tests/bench/closure.py`): a graph whose states are mostly in one SCC is cheapest as bit sets, since two
    searches settle it; of the others those that are dense, because scipy first lists every edge. The paper's products
    never win on a CPU by more than the spread.
    """
    n = relation.shape[0]
    if n < SMALL or relation.count < DEGREE * n:
        return "graph", None
    from .bitset import giant_scc

    giant = giant_scc(relation)
    return "bitset" if giant.sum() > n / 2 or relation.count > MANY * n else "graph", giant


def _relation(adjacency: Any) -> Relation:
    if isinstance(adjacency, Relation):
        return adjacency
    if hasattr(adjacency, "detach"):  # a tensor, also of a type that numpy lacks
        return relate((adjacency.detach() != 0).cpu().numpy())
    return relate(np.asarray(adjacency))


def _assembled(parts: Parts, loops: npt.NDArray[np.bool_], engine: str, order: Order) -> Structure:
    """Labels of SCCs handed to their states, isolation, and the sort (steps 10 to 12)."""
    component, layer = parts.component[parts.scc], parts.layer[parts.scc]
    # A state whose only edge is its own is a block: its weight is used.
    isolated = (np.bincount(component)[component] == 1) & ~loops if component.size else np.zeros(0, bool)
    keys = (isolated, component) if order == "isolated-last" else (component, isolated)
    permutation = np.lexsort((np.arange(component.size), parts.scc, layer, *reversed(keys)))
    return Structure(parts.scc, component, layer, isolated, permutation, parts.condensation, engine)
