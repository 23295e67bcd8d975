"""Transitive closure of Boolean matrices by repeated squaring, on any torch device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy.typing as npt

from ...ir.relation import Relation
from .boolean import Arithmetic, as_tensor, chosen, multiplier, panel_rows
from .tensor_cores.squares import Squares

if TYPE_CHECKING:
    import torch

__all__ = ["closure"]

# Squaring doubles the length of the paths that are known, since a path of at most 2m edges is two of at most m:
#
#     R = I v A        paths of <= 1 edge      0 → 1   1 → 2   2 → 3   3 → 4
#     R R              <= 2                    0 → 2   1 → 3   2 → 4
#     (R R)(R R)       <= 4                    0 → 3   1 → 4   0 → 4        stop: nothing is added any more

Tensor: TypeAlias = "torch.Tensor"


def closure(
    adjacency: Tensor | Relation | npt.NDArray[Any],
    *,
    reflexive: bool = True,
    arithmetic: Arithmetic = "auto",
    device: str | torch.device | None = None,
) -> Tensor:
    """The transitive closure A+ of a digraph, or with `reflexive` A* = I v A+: which state reaches which.

    Law: A* is the least R with I v A <= R and R R = R, and A* = (I v A)^(2^q) for q = ceil(log2(n - 1)); squaring
    stops as soon as it adds nothing. adjacency: (n, n), or (..., n, n) for many at once; any orientation, which the
    result shares. Returns a torch.bool tensor on the device.

    Work O(n^3 log n) in depth O(log^2 n); on CUDA at most 8 bytes of device memory per entry, the argument
    included, the products on tensor cores, and the host never waited for: whether a squaring was the last is read while
    the next one runs. arithmetic: see `scission.passes.connectivity.boolean`. Raises ValueError unless the matrix is
    square. Source: Kleene 1956 and Valiant 1975, as in steps 5 and 10 of appendix A.

    >>> import numpy as np
    >>> chain = np.eye(4, k=-1, dtype=bool)  # 0 -> 1 -> 2 -> 3, row i lists the in-edges of i
    >>> closure(chain, device="cpu").int().tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    >>> int(closure(chain, reflexive=False, device="cpu").sum())
    6
    """
    import torch

    given = as_tensor(adjacency, device)
    if given.dim() < 2 or given.shape[-1] != given.shape[-2]:
        raise ValueError(f"a closure needs square matrices, not {tuple(given.shape)}")
    n = given.shape[-1]
    if not given.numel():
        return given.clone()
    reach = given.clone(memory_format=torch.contiguous_format)
    # With the identity a square keeps the paths that were known, so that R only grows and its end can be seen.
    reach.diagonal(dim1=-2, dim2=-1).fill_(True)
    watch = _Watch(reach.device)
    watch.report(torch.stack([reach.any(), reach.all()]))
    most = max(1, n - 2).bit_length()  # ceil(log2(n - 1)), and one squaring for n <= 2
    arithmetic = chosen(reach, arithmetic)
    squares = Squares(reach, most) if arithmetic == "fused" and reach.dim() == 2 else None
    for _ in range(most):
        if watch.stopped():
            break
        watch.report(_square(reach, arithmetic) if squares is None else squares.square())
    if squares is not None:
        reach = squares.relation
    if not reflexive:
        # A path from a state to itself is an edge and the way back; all others have the identity in vain.
        for index in range(0, n, step := panel_rows(n, n, given.numel() // (n * n))):
            part = slice(index, index + step)
            back = reach[..., :, part].transpose(-1, -2)
            reach.diagonal(dim1=-2, dim2=-1)[..., part] = (given[..., part, :] & back).any(-1)
    return reach


def _square(reach: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Replace R by R R in place, a panel of rows at a time; returns whether it grew, and whether it is full, (2,).

    Rows already replaced are read by nobody: the right factor is a copy in the arithmetic of the product. Entries are
    not counted, because torch sums Booleans by way of 64-bit integers.
    """
    import torch

    n = reach.shape[-1]
    product = multiplier(reach, arithmetic)
    step = panel_rows(n, n, reach.numel() // (n * n))
    grew, full = [], []
    for start in range(0, n, step):
        rows = reach[..., start : start + step, :]
        squared = product(rows)
        grew.append((squared != rows).any())
        full.append(squared.all())
        # In place: the matrix once and a panel, instead of twice, which is what limits n on a device.
        rows.copy_(squared)
    return torch.stack([torch.stack(grew).any(), torch.stack(full).all()])


class _Watch:
    """Tells when squaring has come to its end: nothing was added, or everything is reached.

    On CUDA the answer is copied to the host while the next squaring runs; only the one before that is waited for, so
    the device is never idle and at most one squaring is done in vain.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._pending: list[tuple[Tensor, Any]] = []

    def report(self, found: Tensor) -> None:
        """Take what `_square` returned for the squaring that was just started."""
        import torch

        if not self._cuda:
            self._pending.append((found, None))
            return
        host = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
        host.copy_(found, non_blocking=True)
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(found.device))
        self._pending.append((host, event))

    def stopped(self) -> bool:
        """Whether the squarings so far are known to have reached the closure."""
        while self._pending:
            found, event = self._pending[0]
            if event is not None and not event.query():
                if len(self._pending) < 2:  # let the next squaring be queued behind this one
                    return False
                event.synchronize()
            grew, full = found.tolist()
            if full or not grew:
                return True
            del self._pending[0]
        return False
