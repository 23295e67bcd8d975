"""The node table without the closure of the whole graph: peel, search from pivots, and close only what is left.

On a dense graph one search forward and one backward from a well-connected state, each a few matrix-vector products,
find the strongly connected component that holds nearly everything; closing the matrix would cost a product of order n.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from ....ir.findings.structure import Parts
from ..boolean import Arithmetic, pack, panel_rows
from ..closure import closure
from .products import condense, depths, first_true, numbered

if TYPE_CHECKING:
    import torch

__all__ = ["by_search"]

Tensor: TypeAlias = "torch.Tensor"
PIVOTS = 4  # searches forward and backward before what is left is closed
STEPS = 8  # of one search; a longer path is left to the closure, whose depth is logarithmic
PEELS = 4  # rounds in which states without in-edges or without out-edges are taken off


def by_search(adjacency: Tensor, arithmetic: Arithmetic = "auto") -> Parts:
    """The same labels as `by_closure`, for a torch.bool adjacency (n, n), row i the in-edges of i.

    Trimming and forward-backward search: McLendon, Hendrickson, Plimpton, Rauchwerger, Finding Strongly Connected
    Components in Distributed Graphs, 2005. Components by hooking and pointer jumping: Shiloach and Vishkin, 1982.
    """
    import torch

    n = adjacency.shape[0]
    first = torch.arange(n, device=adjacency.device)  # the smallest member of each state's SCC
    for members in _strong(adjacency, arithmetic, first):
        first[members] = members.min()
    scc, leaders = numbered(first)
    condensation = condense(adjacency, scc, leaders, arithmetic)
    r = condensation.shape[0]
    if r > 1:
        layer = depths(condensation, closure(condensation, arithmetic=arithmetic))
        component = _weak(condensation)
    else:
        layer = component = torch.zeros(r, dtype=torch.int64, device=first.device)
    return Parts(scc.cpu().numpy(), component.cpu().numpy(), layer.cpu().numpy(), pack(condensation))


def _strong(adjacency: Tensor, arithmetic: Arithmetic, first: Tensor) -> list[Tensor]:
    """SCCs of more than one member, found by search; those of what is left are written to `first` directly."""
    import torch

    found: list[Tensor] = []
    left = adjacency.new_ones(adjacency.shape[0])
    products = _Products(adjacency)
    for _ in range(PIVOTS):
        into, out = _peel(products, left)
        if not bool(left.any()):
            return found
        pivot = torch.where(left, into * out, -1.0).argmax()
        searches = [_reached(product, pivot, left) for product in (products.forward, products.backward)]
        if not all(complete for _, complete in searches):
            break
        members = searches[0][0] & searches[1][0]
        left &= ~members
        found.append(members.nonzero()[:, 0])
    if (rest := left.nonzero()[:, 0]).numel():
        part = closure(adjacency[rest][:, rest], arithmetic=arithmetic)
        first[rest] = rest[first_true(part, mutual=True)]
    return found


class _Products:
    """Which states have an edge from, or into, one of a set: matrix-vector products of a Boolean matrix."""

    def __init__(self, adjacency: Tensor) -> None:
        import torch

        self._adjacency = adjacency
        self._dtype = torch.float32 if adjacency.device.type == "cpu" else torch.float16
        self._step = panel_rows(adjacency.shape[0], adjacency.shape[0])

    def forward(self, states: Tensor) -> Tensor:
        """How many edges each state has from `states`, (n,); a count too large for the type is infinite."""
        import torch

        vector = states.to(self._dtype)
        n = states.numel()
        parts = [self._adjacency[at : at + self._step].to(self._dtype) @ vector for at in range(0, n, self._step)]
        return torch.cat(parts) if parts else vector

    def backward(self, states: Tensor) -> Tensor:
        """How many edges each state has into `states`, (n,)."""
        vector = states.to(self._dtype)
        total = vector.new_zeros(states.numel())
        for at in range(0, states.numel(), self._step):
            total += vector[at : at + self._step] @ self._adjacency[at : at + self._step].to(self._dtype)
        return total


def _peel(products: _Products, left: Tensor) -> tuple[Tensor, Tensor]:
    """Take states out of `left`, in place, that have no in-edge or no out-edge there; returns both degrees."""
    for _ in range(PEELS):
        into, out = products.forward(left), products.backward(left)
        left &= (into > 0) & (out > 0)
    return into.float(), out.float()


def _reached(product: Callable[[Tensor], Tensor], pivot: Tensor, left: Tensor) -> tuple[Tensor, bool]:
    """What can be reached from a pivot inside `left` by at most STEPS edges, and whether that is all."""
    reached = left.new_zeros(left.numel())
    reached[pivot] = True
    for _ in range(STEPS):
        more = reached | ((product(reached) > 0) & left)
        if bool((more == reached).all()):
            return reached, True
        reached = more
    return reached, False


def _weak(condensation: Tensor) -> Tensor:
    """Weak components of (r, r), numbered by smallest member: hook onto the smallest neighbour, then jump."""
    import torch

    r = condensation.shape[0]
    joined = condensation | condensation.t()
    step = panel_rows(r, r)
    parent = torch.arange(r, device=joined.device)
    while True:
        parts = [torch.where(joined[at : at + step], parent[None, :], r).amin(1) for at in range(0, r, step)]
        lowest = torch.minimum(torch.cat(parts), parent)
        hooked = parent.scatter_reduce(0, parent, lowest, "amin")  # the root of each takes the lowest seen
        while not torch.equal(hooked, jumped := hooked[hooked]):
            hooked = jumped
        if torch.equal(hooked, parent):
            return numbered(parent)[0]
        parent = hooked
