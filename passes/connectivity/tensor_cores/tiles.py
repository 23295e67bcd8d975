"""Tiles: how much of a product one program computes, and which tile is fastest on a card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["TILES", "Tile", "by_fit", "default_tile", "fastest"]

BAND = 8  # rows of tiles whose programs run beside each other
PROBE = 512  # inner extents after which a tile is looked at; a multiple of every tile's depth
FILLED = 128  # programs that keep a large card busy: an H200 has 132 multiprocessors


@dataclass(frozen=True, slots=True)
class Tile:
    """rows, columns, depth: of the sums that one program holds, and of K at a time; warps, stages: of its pipeline.

    Raises ValueError unless the three are powers of two of which the depth divides `PROBE`.
    """

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int

    def __post_init__(self) -> None:
        sides = (self.rows, self.columns, self.depth)
        if any(side < 16 or side & (side - 1) for side in sides) or PROBE % self.depth:
            raise ValueError(f"a tile has sides that are powers of two from 16 on, its depth at most {PROBE}: {sides}")

    @property
    def constants(self) -> tuple[int, ...]:
        """What the kernel is compiled for."""
        return self.rows, self.columns, self.depth, BAND, PROBE

    @property
    def shared(self) -> int:
        """Bytes of both operands that all stages hold in the shared memory of a multiprocessor."""
        return self.stages * self.depth * (self.rows + self.columns)

    def programs(self, m: int, n: int) -> int:
        """How many tiles a product (m, n) has."""
        return -(-m // self.rows) * -(-n // self.columns)


# Hopper multiplies 64 x 256 x 32 octets an instruction, for which two groups of four warps share what they read. All
# fit the 227 KiB of shared memory of a multiprocessor; those of 128 x 128 leave room for a second program, whose sums
# go on while the first writes. The last two are for cards with 99 KiB of it, and for products of few tiles.
TILES = (
    Tile(128, 256, 128, warps=8, stages=4),
    Tile(128, 256, 128, warps=8, stages=3),
    Tile(256, 128, 128, warps=8, stages=4),
    Tile(128, 256, 64, warps=8, stages=4),
    Tile(128, 128, 128, warps=4, stages=3),
    Tile(128, 128, 128, warps=8, stages=3),
    Tile(64, 128, 128, warps=4, stages=4),
    Tile(128, 128, 64, warps=4, stages=4),
    Tile(64, 64, 128, warps=4, stages=3),
)
OTHER = 1 << 10  # bytes of shared memory that a kernel needs besides


def default_tile(m: int, n: int, tiles: Sequence[Tile] = TILES) -> Tile:
    """The largest of them that keeps a large card busy, else the smallest.

    >>> default_tile(8192, 8192).columns, default_tile(500, 500).rows
    (256, 64)
    """
    by_size = sorted(tiles, key=lambda tile: -tile.rows * tile.columns)
    return next((tile for tile in by_size if tile.programs(m, n) >= FILLED), by_size[-1])


def by_fit(m: int, n: int, shared: int) -> list[Tile]:
    """The tiles that fit a card whose multiprocessors share so many bytes, the one for a product (m, n) first.

    Where none does, the one that needs least.
    """
    fit = [tile for tile in TILES if tile.shared + OTHER <= shared]
    if not fit:
        return [min(TILES, key=lambda tile: tile.shared)]
    first = default_tile(m, n, fit)
    return [first, *(tile for tile in fit if tile != first)]


def fastest(seconds: Callable[[Tile], float | None], tiles: Sequence[Tile] = TILES) -> tuple[Tile, dict[Tile, float]]:
    """The tile that takes least, and the seconds of all that run; seconds: None where a tile does not fit the card.

    Raises ValueError when none runs.
    """
    taken = {tile: spent for tile in tiles if (spent := seconds(tile)) is not None}
    if not taken:
        raise ValueError("no tile fits this device")
    return min(taken, key=taken.__getitem__), taken
