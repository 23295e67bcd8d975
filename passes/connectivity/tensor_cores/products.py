"""Boolean products by the kernel: when it is used, and how operands are laid out for it."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ....ir.reason import Cause, Reason
from .tiles import Tile, default_tile

if TYPE_CHECKING:
    import torch

__all__ = ["Arrays", "Operand", "launch", "octets_of", "padded", "product", "suits", "why_not"]

Tensor: TypeAlias = "torch.Tensor"
Operand = Literal["fp8", "int8"]
ALIGNED = 16  # bytes that rows are a multiple of, as tensor descriptors need it
LARGE = 4096  # sides from which on it pays to compile the kernel, which takes seconds once on a machine


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """What a launch reads and writes, all octets with aligned rows: left (m, k), right (n, k), found (m, n).

    Of a square also turned (n, n), the transpose of what is found, and flags (2,) int32, which begin as (0, 1) and say
    whether it grew and whether it is full.
    """

    left: Tensor
    right: Tensor
    found: Tensor
    turned: Tensor | None = None
    flags: Tensor | None = None


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
    """The same of a CUDA device, found out by a product that is known, once."""
    import torch

    device = torch.device("cuda", index)
    if torch.version.hip or torch.cuda.get_device_capability(device) < (8, 0):
        return Reason(Cause.UNSUPPORTED, "it needs an NVIDIA device of compute capability 8.0")
    draws = torch.Generator().manual_seed(0)
    left, right = (torch.rand(shape, generator=draws) < 0.03 for shape in ((150, 700), (700, 210)))
    try:
        found = product(left.to(device), right.t().to(device)).cpu()
    except Exception as error:  # a compiler, a driver and a card that know each other or not: whatever they raise
        return Reason(Cause.REFUSED, f"it does not run here: {type(error).__name__}")
    same = torch.equal(found, left.float() @ right.float() > 0)
    return None if same else Reason(Cause.DIFFERENT, "its products are wrong here")


def operand_of(device: torch.device) -> Operand:
    """The eight-bit type that the units of a device multiply fastest; both give the same Booleans."""
    import torch

    return "fp8" if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9) else "int8"


def octets_of(matrix: Tensor) -> Tensor:
    """A Boolean matrix (m, n) as octets 0 and 1 in aligned rows: itself where it lies so, else a copy."""
    import torch

    octets = matrix.view(torch.uint8)
    step = octets.stride(0)
    apart = octets.stride(1) == 1 and step >= octets.shape[1]
    if apart and step % ALIGNED == 0 and octets.data_ptr() % ALIGNED == 0:
        return octets
    copy = padded(octets.shape[0], octets.shape[1], octets.device)
    copy.copy_(octets)
    return copy


def padded(rows: int, columns: int, device: torch.device) -> Tensor:
    """Room for octets (rows, columns) in aligned rows; nobody reads what lies behind the columns."""
    import torch

    return torch.empty((rows, -(-columns // ALIGNED) * ALIGNED), dtype=torch.uint8, device=device)[:, :columns]


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
    """Queue one product on the device on which the arrays lie."""
    import torch
    from triton.tools.tensor_descriptor import TensorDescriptor

    from .kernel import kernel, total

    (m, k), n = arrays.left.shape, arrays.right.shape[0]
    device = arrays.left.device
    tile = tile or default_tile(m, n)
    operand = operand or operand_of(device)
    dtype = torch.float8_e4m3fn if operand == "fp8" else torch.int8

    def described(matrix: Tensor, rows: int, columns: int) -> Any:
        return TensorDescriptor(matrix, list(matrix.shape), list(matrix.stride()), [rows, columns])

    squared = arrays.turned is not None
    found = described(arrays.found, tile.rows, tile.columns)
    described_all = (
        described(arrays.left.view(dtype), tile.rows, tile.depth),
        described(arrays.right.view(dtype), tile.columns, tile.depth),
        found,
        described(arrays.left.view(torch.uint8), tile.rows, tile.columns) if squared else found,
        described(arrays.turned, tile.columns, tile.rows) if arrays.turned is not None else found,
    )
    options = {"num_warps": tile.warps, "num_stages": tile.stages}
    flags = arrays.found if arrays.flags is None else arrays.flags
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        kernel[(tile.programs(m, n),)](
            *described_all, flags, (m, n, k), tile.constants, squared, total(operand), **options
        )
