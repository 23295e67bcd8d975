"""One product queued on a device: how operands are laid out for the kernel, and how it is called."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .tiles import Tile

if TYPE_CHECKING:
    import torch

__all__ = ["Arrays", "Operand", "octets_of", "operand_of", "padded", "queue"]

Tensor: TypeAlias = "torch.Tensor"
Operand = Literal["fp8", "int8"]
ALIGNED = 16  # bytes that rows are a multiple of, as tensor descriptors need it


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """What a launch reads and writes, all octets with aligned rows: left (m, k), right (n, k), found (m, n).

    Of a square also turned (n, n), the transpose of what is found, and flags (2,) int32, which begin as (0, 1) and say
    whether it grew and whether it is full. A launch may be repeated: what it reads it does not write.
    """

    left: Tensor
    right: Tensor
    found: Tensor
    turned: Tensor | None = None
    flags: Tensor | None = None

    @property
    def extents(self) -> tuple[int, int, int]:
        """m, n, k."""
        return self.left.shape[0], self.right.shape[0], self.left.shape[1]

    @property
    def squared(self) -> bool:
        """Whether it is a square."""
        return self.turned is not None


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


def queue(arrays: Arrays, tile: Tile, operand: Operand) -> None:
    """Queue one product on the device on which the arrays lie."""
    import torch
    from triton.tools.tensor_descriptor import TensorDescriptor

    from .kernel import kernel, total

    m, n, _ = arrays.extents
    device = arrays.left.device
    dtype = torch.float8_e4m3fn if operand == "fp8" else torch.int8

    def described(matrix: Tensor, rows: int, columns: int) -> Any:
        return TensorDescriptor(matrix, list(matrix.shape), list(matrix.stride()), [rows, columns])

    found = described(arrays.found, tile.rows, tile.columns)
    described_all = (
        described(arrays.left.view(dtype), tile.rows, tile.depth),
        described(arrays.right.view(dtype), tile.columns, tile.depth),
        found,
        described(arrays.left.view(torch.uint8), tile.rows, tile.columns) if arrays.squared else found,
        described(arrays.turned, tile.columns, tile.rows) if arrays.turned is not None else found,
    )
    options = {"num_warps": tile.warps, "num_stages": tile.stages}
    flags = arrays.found if arrays.flags is None else arrays.flags
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        kernel[(tile.programs(m, n),)](
            *described_all, flags, arrays.extents, tile.constants, arrays.squared, total(operand), **options
        )
