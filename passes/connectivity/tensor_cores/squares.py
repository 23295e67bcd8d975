"""A reflexive relation squared again and again, with its transpose beside it, as the tensor cores read both."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .launching import Arrays, Operand, octets_of, padded
from .products import launch
from .tiles import Tile

if TYPE_CHECKING:
    import torch

__all__ = ["Squares"]

Tensor: TypeAlias = "torch.Tensor"


class Squares:
    """R (n, n) torch.bool, n > 0, with the identity in it, and after every `square` its square.

    Holds four octets an entry: R, its transpose, and room for the next of both; nothing is copied in between. `most`:
    how often it may be squared. R is overwritten.
    """

    def __init__(self, reach: Tensor, most: int, tile: Tile | None = None, operand: Operand | None = None) -> None:
        import torch

        n, device = reach.shape[0], reach.device
        self._here = octets_of(reach), octets_of(reach.t())
        self._next = padded(n, n, device), padded(n, n, device)
        self._flags = torch.tensor([[0, 1]] * most, dtype=torch.int32, device=device)
        self._done, self._tile, self._operand = 0, tile, operand

    def square(self) -> Tensor:
        """Replace R by R R; returns whether it grew and whether it is full, (2,) int32, as soon as the device knows."""
        (left, right), (found, turned), flags = self._here, self._next, self._flags[self._done]
        launch(Arrays(left, right, found, turned, flags), self._tile, self._operand)
        self._here, self._next, self._done = self._next, self._here, self._done + 1
        return flags

    @property
    def relation(self) -> Tensor:
        """R, torch.bool, contiguous."""
        import torch

        return self._here[0].view(torch.bool).contiguous()
