"""Boolean products by the kernel, and when it is used."""

from __future__ import annotations

import functools
import importlib.util
from typing import TYPE_CHECKING, TypeAlias

from ....ir.reason import Cause, Reason
from .launching import Arrays, Operand, octets_of, operand_of, padded, queue
from .tiles import Tile, by_fit
from .trial import why_not_tile
from .tuning import tile_for

if TYPE_CHECKING:
    import torch

__all__ = ["launch", "product", "suits", "why_not"]

Tensor: TypeAlias = "torch.Tensor"
LARGE = 4096  # sides from which on it pays to compile the kernel, which takes seconds once on a machine


def suits(device: torch.device, *sides: int) -> bool:
    """Whether a product with these sides (m, k, n as far as known) on a device is computed by the kernel unasked."""
    return device.type == "cuda" and min(sides) >= LARGE and why_not(device) is None


def why_not(device: torch.device) -> Reason | None:
    """Why the kernel cannot be used on a device; None where it can."""
    if importlib.util.find_spec("triton") is None:
        return Reason(Cause.NO_PROVIDER, "it needs triton: pip install triton")
    if device.type == "cuda":
        return _why_not_here(device.index or 0)
    from .kernel import is_interpreted

    return None if is_interpreted() else Reason(Cause.NO_PROVIDER, f"it does not run on {device.type} devices")


@functools.cache
def _why_not_here(index: int) -> Reason | None:
    """The same of a CUDA device, found out by a product that is known, with the tile that asks least of a card."""
    import torch

    device = torch.device("cuda", index)
    if torch.version.hip or torch.cuda.get_device_capability(device) < (8, 0):
        return Reason(Cause.UNSUPPORTED, "it needs an NVIDIA device of compute capability 8.0")
    (least,) = by_fit(1, 1, shared=0)
    return why_not_tile(device, least, operand_of(device), squared=False, even=(False, False, False))


def product(left: Tensor, columns: Tensor, tile: Tile | None = None, operand: Operand | None = None) -> Tensor:
    """The Boolean product (m, n) of left (m, k) and the matrix whose transpose is `columns` (n, k), all torch.bool."""
    import torch

    (m, k), n = left.shape, columns.shape[0]
    if not (m and k and n):
        return torch.zeros((m, n), dtype=torch.bool, device=left.device)
    found = padded(m, n, left.device)
    launch(Arrays(octets_of(left), octets_of(columns), found), tile, operand)
    return found.view(torch.bool).contiguous()


def launch(arrays: Arrays, tile: Tile | None = None, operand: Operand | None = None) -> None:
    """Queue one product on the device on which the arrays lie, with the tile that is known to be fastest there."""
    operand = operand or operand_of(arrays.left.device)
    queue(arrays, tile or tile_for(arrays, operand), operand)
