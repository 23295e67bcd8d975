"""Boolean matrix products on a torch device, in the arithmetic that its matrix units are fastest in.

Entries are 0 and 1, so every sum of products is exact or at least positive: whatever the arithmetic rounds, saturates
or overflows to, a result is non-zero exactly where the Boolean product is true.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ...ir.relation import Relation
from .device import DeviceError, pick_device
from .tensor_cores import products
from .tensor_cores.launching import octets_of
from .transfer.masks import mask_on, unpacked

if TYPE_CHECKING:
    import torch

__all__ = ["Arithmetic", "as_tensor", "chosen", "multiplier", "multiply", "pack", "panel_rows", "row_counts"]

Arithmetic = Literal["auto", "fp8", "int8", "bf16", "fp16", "float32", "fused"]
Tensor: TypeAlias = "torch.Tensor"

ONE_FP8 = 0x38  # the bits of 1.0 in e4m3
TILE = 32  # 8-bit products take extents that are multiples of 16, integer ones more than 16 rows
PANEL = 1 << 27  # entries of a product that are held at once in a wide type
SLAB = 1 << 24  # entries that are counted at once, in eight bytes each


def as_tensor(matrix: Tensor | Relation | npt.NDArray[Any], device: str | torch.device | None = None) -> Tensor:
    """A Boolean matrix as a torch.bool tensor on a device; a tensor stays on its own unless one is given."""
    import torch

    if isinstance(matrix, torch.Tensor):
        target = matrix.device if device is None else pick_device(device)
        return matrix.to(target).to(torch.bool)
    target = pick_device(device)
    if target.type != "cpu" and len(matrix.shape) == 2:
        return mask_on(target, matrix)
    if isinstance(matrix, Relation):
        return unpacked(torch.from_numpy(matrix.words.view(np.uint8)).to(target), matrix.shape[1])
    return torch.from_numpy(np.ascontiguousarray(matrix).astype(bool, copy=False)).to(target)


def pack(matrix: Tensor) -> Relation:
    """A Boolean tensor of two dimensions as a packed relation on the host; an eighth of the bytes travels."""
    import torch

    rows, columns = matrix.shape
    padded = torch.nn.functional.pad(matrix.view(torch.uint8), (0, -columns % 64))
    weights = 1 << torch.arange(8, device=matrix.device, dtype=torch.uint8)
    octets = (padded.view(rows, padded.shape[1] // 8, 8) * weights).sum(-1, dtype=torch.uint8)
    words = np.ascontiguousarray(octets.cpu().numpy()).view(np.uint64).reshape(rows, -(-columns // 64))
    return Relation(words, (rows, columns), int(np.bitwise_count(words).sum(dtype=np.int64)))


def pick_arithmetic(device: torch.device, batched: bool = False, *sides: int) -> Arithmetic:
    """The fastest arithmetic that a device's matrix units have; batched products exist in 16 bits and more only.

    sides: extents of the products, without which they count as small.
    """
    import torch

    if not batched and sides and products.suits(device, *sides):
        return "fused"
    if device.type != "cuda" or torch.version.hip:
        return "float32" if device.type == "cpu" else "fp16"
    capability = torch.cuda.get_device_capability(device)
    if not batched and capability >= (8, 9):
        return "fp8"
    if capability >= (8, 0):
        return "bf16" if batched else "int8"
    return "fp16" if capability >= (7, 0) else "float32"


def chosen(right: Tensor, arithmetic: Arithmetic) -> Arithmetic:
    """The arithmetic of products with `right` (…, k, n), never 'auto'.

    Raises DeviceError for any other name, and for 'fused' where that cannot be used.
    """
    if arithmetic not in get_args(Arithmetic):
        raise DeviceError(f"unknown arithmetic {arithmetic!r}; use one of {', '.join(get_args(Arithmetic))}")
    if arithmetic == "auto":
        return pick_arithmetic(right.device, right.dim() > 2, *right.shape[-2:])
    if arithmetic == "fused" and (reason := products.why_not(right.device)):
        raise DeviceError(f"arithmetic 'fused' cannot be used on {right.device}: {reason}")
    return arithmetic


def multiplier(right: Tensor, arithmetic: Arithmetic = "auto") -> Callable[[Tensor], Tensor]:
    """The Boolean product with `right` (…, k, n) as a function of the left factor (…, m, k), prepared once.

    arithmetic: 'fused' is the kernel of `tensor_cores`, which multiplies eight bits and writes Booleans; it, 'fp8'
    (e4m3) and 'int8' take two dimensions only. Raises DeviceError for what cannot be used.
    """
    import torch

    arithmetic = chosen(right, arithmetic)
    batched = right.dim() > 2
    if arithmetic == "fused" and not batched:
        columns = octets_of(right.t()).view(torch.bool)
        return lambda left: products.product(left, columns)
    if arithmetic in ("fp8", "int8") and not batched:
        return _eight_bits(right, arithmetic)
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(arithmetic, torch.float32)
    factor = right.to(dtype)
    return lambda left: torch.matmul(left.to(dtype), factor) != 0


def _eight_bits(right: Tensor, arithmetic: Arithmetic) -> Callable[[Tensor], Tensor]:
    """Products whose right factor lies column after column, as the 8-bit units read it."""
    import torch

    n = right.shape[1]
    columns = _padded(right.t(), arithmetic).t()

    def product(left: Tensor) -> Tensor:
        rows = _padded(left, arithmetic)
        if arithmetic == "int8":
            found = torch._int_mm(rows, columns)
        else:
            one = torch.ones((), device=rows.device)
            found = torch._scaled_mm(rows, columns, one, one, out_dtype=torch.bfloat16, use_fast_accum=True)
        return (found != 0)[: left.shape[0], :n]

    return product


def _padded(matrix: Tensor, arithmetic: Arithmetic) -> Tensor:
    """0 and 1 in eight bits, contiguous, both extents multiples of the tile."""
    import torch

    rows, columns = matrix.shape
    octets = matrix.contiguous().view(torch.uint8)
    if rows % TILE or columns % TILE:
        octets = torch.nn.functional.pad(octets, (0, -columns % TILE, 0, -rows % TILE))
    if arithmetic == "int8":
        return octets.view(torch.int8)
    return (octets * ONE_FP8).view(torch.float8_e4m3fn)


def multiply(left: Tensor, right: Tensor, arithmetic: Arithmetic = "auto") -> Tensor:
    """The Boolean product of (…, m, k) and (…, k, n), in panels of rows so that no wide copy of it is held.

    >>> import torch
    >>> shift = torch.tensor([[0, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=torch.bool)
    >>> multiply(shift, shift).int().tolist()
    [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    """
    import torch

    arithmetic = chosen(right, arithmetic)
    product = multiplier(right, arithmetic)
    m, n = left.shape[-2], right.shape[-1]
    step = panel_rows(m, n, max(1, left.numel() // max(m * left.shape[-1], 1)))
    if step >= m or (arithmetic == "fused" and right.dim() == 2):
        return product(left)
    return torch.cat([product(left[..., start : start + step, :]) for start in range(0, m, step)], dim=-2)


def panel_rows(rows: int, columns: int, batch: int = 1) -> int:
    """How many rows of a product are computed at once: a quarter at most, so that wide types are held for few."""
    return max(TILE, min(-(-rows // 4), PANEL // max(columns * batch, 1)))


def row_counts(matrix: Tensor) -> Tensor:
    """How many entries of each row are true, (rows,); a slab at a time, because torch sums Booleans as integers."""
    import torch

    rows, columns = matrix.shape
    step = max(1, SLAB // max(columns, 1))
    parts = [matrix[start : start + step].sum(1) for start in range(0, rows, step)]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int64, device=matrix.device)
