"""The kernel: a tile of sums on the tensor cores, and out of it, before anything is written, what is asked of it.

    left (M, K), by rows     ─┐
                              ├─ sums (rows, columns) in registers ─ > 0 ─┬─ found (M, N), an octet each
    right (N, K), by columns ─┘                                           ├─ turned (N, M), the transpose of it
                                                                          └─ flags: more than was known? full?

An octet is 0 or 1 and is multiplied as it lies: as an integer, or as a float of type e4m3, in which 1 is the smallest
positive number, 2^-9. All sums are of numbers that are not negative, so that whatever a unit rounds, what is true stays
above zero; and a product of two such numbers is 2^-18, far from the smallest float32. Operands come and results go
through tensor descriptors, which fill with zeros what lies outside of a matrix and write nothing there.
"""

from __future__ import annotations

from typing import Any

try:
    import triton
    import triton.language as tl
except ImportError:  # a package of its own, which a machine without an accelerator does not need
    triton = tl = None

__all__ = ["is_interpreted", "kernel", "total"]


def _product(
    left: tl.tensor,
    right: tl.tensor,
    found: tl.tensor,
    known: tl.tensor,
    turned: tl.tensor,
    flags: tl.tensor,
    extents: tl.tensor,
    tile: tl.constexpr,
    squared: tl.constexpr,
    total: tl.constexpr,
) -> None:
    """Descriptors of octets, `found` and `known` in tiles of results; extents: M, N, K.

    tile: its rows, columns and depth, the tiles in a band, and after how much of K one that was dense is looked at.
    Unless `squared`, nobody reads `known` and nothing is written to `turned` and `flags` (grew, full).
    """
    rows: tl.constexpr = tile[0]
    columns: tl.constexpr = tile[1]
    depth: tl.constexpr = tile[2]
    M, N, K = extents
    # Tiles are taken in bands of a few rows, so that those that run at one time share what they read.
    place = tl.program_id(0)
    across = tl.cdiv(N, columns)
    first = place // (tile[3] * across) * tile[3]
    height = tl.minimum(tl.cdiv(M, rows) - first, tile[3])
    top = (first + place % (tile[3] * across) % height) * rows
    start = place % (tile[3] * across) // height * columns

    inside = (top + tl.arange(0, rows) < M)[:, None] & (start + tl.arange(0, columns) < N)[None, :]
    end = K
    if squared:
        # Where a quarter of the pairs was known, a few hundred ways around find the rest nearly always.
        share = tl.sum(tl.sum(known.load([top, start]).to(tl.int32), 1), 0)
        end = tl.where(share * 4 > rows * columns, tl.minimum(K, tile[4]), K)
    sums = tl.zeros((rows, columns), dtype=total)
    for k in range(0, end, depth):
        sums = tl.dot(left.load([top, k]), right.load([start, k]).T, sums, out_dtype=total)
    if end < K:
        holes = tl.max(tl.max(((sums == 0) & inside).to(tl.int32), 1), 0)
        for k in range(tl.where(holes > 0, end, K), K, depth):
            sums = tl.dot(left.load([top, k]), right.load([start, k]).T, sums, out_dtype=total)
    octets = (sums > 0).to(tl.uint8)
    found.store([top, start], octets)
    if squared:
        turned.store([start, top], octets.T)
        if tl.max(tl.max((octets != known.load([top, start])).to(tl.int32), 1), 0) > 0:
            tl.atomic_max(flags, 1)
        if tl.max(tl.max(((octets == 0) & inside).to(tl.int32), 1), 0) > 0:
            tl.atomic_min(flags + 1, 0)


kernel: Any = None if triton is None else triton.jit(_product)


def is_interpreted() -> bool:
    """Whether triton was told, by TRITON_INTERPRET=1 before it was imported, to run kernels on the CPU."""
    return kernel is not None and not isinstance(kernel, triton.JITFunction)


def total(operand: str) -> Any:
    """The type in which products of an operand type ('fp8', 'int8') are summed."""
    return tl.float32 if operand == "fp8" else tl.int32
