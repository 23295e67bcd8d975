"""The node table by matrix products: appendix A of the paper, on any torch device."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ....ir.findings.structure import Parts
from ..boolean import Arithmetic, multiply, pack, panel_rows, row_counts
from ..closure import closure

if TYPE_CHECKING:
    import torch

__all__ = ["by_closure", "condense", "depths", "first_true", "numbered"]

Tensor: TypeAlias = "torch.Tensor"
BLOCK = 64  # SCCs whose longest paths among themselves are found together


def by_closure(adjacency: Tensor, arithmetic: Arithmetic = "auto") -> Parts:
    """SCCs, condensation, layers and weak components of a torch.bool adjacency (n, n), row i the in-edges of i.

    Steps 5 to 10 of appendix A: closure, mutual reachability, condensation, layers, closure of the underlying graph.
    """
    reach = closure(adjacency, arithmetic=arithmetic)
    scc, leaders = numbered(first_true(reach, mutual=True))
    condensation = condense(adjacency, scc, leaders, arithmetic)
    among = reach[leaders][:, leaders]
    del reach
    layer = depths(condensation, among)
    undirected = closure(condensation | condensation.t(), arithmetic=arithmetic)
    component, _ = numbered(first_true(undirected))
    return Parts(scc.cpu().numpy(), component.cpu().numpy(), layer.cpu().numpy(), pack(condensation))


def first_true(relation: Tensor, mutual: bool = False) -> Tensor:
    """The first true column of each row, of R or with `mutual` of R and its transpose together; (n,) int64."""
    import torch

    n = relation.shape[0]
    found = torch.empty(n, dtype=torch.int64, device=relation.device)
    step = panel_rows(n, n)
    for start in range(0, n, step):
        part = slice(start, start + step)
        rows = relation[part] & relation[:, part].t() if mutual else relation[part]
        found[part] = rows.contiguous().view(torch.uint8).argmax(1)  # the first of equal ones
    return found


def numbered(first: Tensor) -> tuple[Tensor, Tensor]:
    """Classes given by their smallest members -> (class of each, smallest members in the order of their numbers)."""
    import torch

    leads = first == torch.arange(first.numel(), device=first.device)
    return (leads.cumsum(0) - 1)[first], leads.nonzero()[:, 0]


def condense(adjacency: Tensor, scc: Tensor, leaders: Tensor, arithmetic: Arithmetic = "auto") -> Tensor:
    """B = (Z A Zt) and not I, where row s of Z marks the members of SCC s; (r, r)."""
    import torch

    n, r = adjacency.shape[0], leaders.numel()
    if r == 1 or n == 0:
        return adjacency.new_zeros((r, r))
    if r == n:
        condensation = adjacency.clone()
    else:
        members = scc[None, :] == torch.arange(r, device=scc.device)[:, None]
        condensation = multiply(multiply(members, adjacency, arithmetic), members.t(), arithmetic)
    condensation.fill_diagonal_(False)
    return condensation


def depths(condensation: Tensor, reach: Tensor) -> Tensor:
    """The layer of every node of an acyclic graph (r, r) with closure `reach`: edges on its longest in-path, (r,).

    Peeling layer after layer would take as many steps as there are layers. Here nodes are put in an order in which
    every edge points forward (by their number of ancestors), longest paths inside each block of that order are found
    for all blocks at once, and then one block after another is joined: r / 64 + 64 steps on the device.
    """
    import torch

    r = condensation.shape[0]
    order = row_counts(reach).argsort(stable=True)
    blocks = -(-r // BLOCK)
    lower = torch.nn.functional.pad(condensation[order][:, order], (0, -r % BLOCK, 0, -r % BLOCK))
    tiles = lower.view(blocks, BLOCK, blocks, BLOCK).diagonal(dim1=0, dim2=2).permute(2, 0, 1)
    inside = torch.where(tiles, 1, -r - 1).to(torch.int32)  # longest known path, or none
    inside.diagonal(dim1=1, dim2=2).fill_(0)
    for middle in range(BLOCK):
        inside = torch.maximum(inside, inside[:, :, middle : middle + 1] + inside[:, middle : middle + 1, :])
    found = torch.zeros(blocks * BLOCK, dtype=torch.int32, device=lower.device)
    for block in range(blocks):
        start, stop = block * BLOCK, (block + 1) * BLOCK
        into = found.new_zeros(BLOCK)
        if start:
            into = torch.where(lower[start:stop, :start], found[None, :start] + 1, 0).amax(1)
        found[start:stop] = (inside[block] + into[None, :]).amax(1)
    layer = torch.empty(r, dtype=torch.int64, device=lower.device)
    layer[order] = found[:r].to(torch.int64)
    return layer
