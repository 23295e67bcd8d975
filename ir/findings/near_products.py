"""How near a weight is to a product of smaller ones: an analysis, of which nothing is exact, and nothing applied."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..brief import brief, brief_line

__all__ = ["NearProduct", "NearProducts", "SliceRanks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRanks:
    """The ranks of slices of a weight (radix · places, groups · outputs), one for each place and group.

    strided: whether outputs of one group lie as many apart as there are groups, not next to one another; least, most:
    of the ranks of those that were looked at; looked_at: how many these are, of places · groups.
    """

    radix: int
    places: int
    groups: int
    outputs: int
    strided: bool
    least: int
    most: int
    looked_at: int

    __repr__ = brief_line

    @property
    def full(self) -> int:
        """The rank that slices of a weight without structure have."""
        return min(self.radix, self.outputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class NearProduct:
    """A product of two block-diagonal weights with permutations around them, and how far a weight is from it.

    how: 'monarch', with a block for each place and each group, or 'kronecker', with one block for all of them; rank: of
    each slice of the product, 1 of a Kronecker product; error: the Frobenius norm of the difference over that of the
    weight, an estimate by the slices that were looked at; macs: multiply-adds of one row; gain: predicted dense time
    over its time, at its worst over the rows of the plan, None where nothing is priced.
    """

    how: Literal["monarch", "kronecker"]
    radix: int
    places: int
    groups: int
    outputs: int
    strided: bool
    rank: int
    error: float
    macs: int
    gain: float | None = None

    __repr__ = brief_line


@dataclass(frozen=True, slots=True, kw_only=True)
class NearProducts:
    """What is known of a weight as a product: slices: of the factorisations whose slices come nearest to rank 1, the
    nearest first; products: the nearest of each rank, and the nearest Kronecker product last."""

    slices: tuple[SliceRanks, ...]
    products: tuple[NearProduct, ...]

    __repr__ = brief

    def to_dict(self) -> dict[str, Any]:
        """For JSON; exact is False, whatever the errors are."""
        return {
            "exact": False,
            "slices": [asdict(one) for one in self.slices],
            "products": [asdict(one) for one in self.products],
        }
