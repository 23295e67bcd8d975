"""One tile tried on a device: whether it computes what is known, and how long a product takes with it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeAlias

from ....ir.reason import Cause, Reason
from .launching import ALIGNED, Arrays, Operand, octets_of, padded, queue
from .tiles import Tile

if TYPE_CHECKING:
    import torch

__all__ = ["Divided", "divided", "seconds_of", "why_not_tile"]

Divided: TypeAlias = tuple[bool, bool, bool]
SIDE = 600  # of products that are known: more than two of the largest tile, and more than what is looked at first
REPEATS = 3  # launches that are timed, of which the fastest counts


def divided(arrays: Arrays) -> Divided:
    """Which of m, n and k are multiples of 16: triton compiles a kernel for each of these cases."""
    m, n, k = (side % ALIGNED == 0 for side in arrays.extents)
    return m, n, k


@functools.cache
def why_not_tile(device: torch.device, tile: Tile, operand: Operand, squared: bool, even: Divided) -> Reason | None:
    """Why a tile is not used on a device, found out by one product that is known, or one square; None where it is.

    even: which sides are multiples of 16, as `divided` tells it, so that the kernel that is tried is the one that is
    used afterwards.
    """
    try:
        right = _is_right(device, tile, operand, squared, even)
    except Exception as error:  # a compiler, a driver and a card that know each other or not: whatever they raise
        return Reason(Cause.REFUSED, f"it does not run here: {type(error).__name__}")
    return None if right else Reason(Cause.DIFFERENT, "its products are wrong here")


def _is_right(device: torch.device, tile: Tile, operand: Operand, squared: bool, even: Divided) -> bool:
    import torch

    m, n, k = (SIDE + 8 * one for one in even)  # 608 is a multiple of 16
    draws = torch.Generator().manual_seed(0)
    left = torch.rand((m, k), generator=draws) < 0.03
    right = left | torch.eye(m, dtype=torch.bool) if squared else torch.rand((k, n), generator=draws) < 0.03
    left = right if squared else left
    flags = torch.tensor([0, 1], dtype=torch.int32, device=device) if squared else None
    turned = padded(n, n, device) if squared else None
    there = Arrays(octets_of(left.to(device)), octets_of(right.t().to(device)), padded(m, n, device), turned, flags)
    queue(there, tile, operand)
    want = left.float() @ right.float() > 0
    same = bool((there.found.view(torch.bool).cpu() == want).all())
    if turned is None or flags is None:
        return same
    told: list[int] = flags.tolist()
    grew, full = bool((want != left).any()), bool(want.all())
    return same and bool((turned.view(torch.bool).cpu() == want.t()).all()) and told == [grew, full]


def seconds_of(arrays: Arrays, tile: Tile, operand: Operand) -> float:
    """Seconds of one launch on a CUDA device, which has compiled it; what it writes is what it has to write."""
    import torch

    with torch.cuda.device(arrays.left.device):
        taken: list[float] = []
        for _ in range(REPEATS):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            queue(arrays, tile, operand)
            end.record()
            end.synchronize()
            taken.append(begin.elapsed_time(end) / 1e3)
    return min(taken)
